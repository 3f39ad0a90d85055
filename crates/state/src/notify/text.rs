//! The words of a notice: a title and a sentence or two.

use std::fmt::Write as _;

use tunnel_balancer_core::escape_invisible;

use super::notice::{Notice, NoticeKind};

/// The longest name or detail, in characters. Details can have the text of an error.
const MAX_CHARS: usize = 300;

/// The largest number of servers that are listed.
const MAX_SERVERS: usize = 8;

/// Returns the title of a notice.
pub(super) fn title(notice: &Notice) -> String {
    let service = tidy(&notice.service);
    let server = notice.server.as_deref().map(tidy);
    match (notice.kind, server) {
        (NoticeKind::ServerDown, Some(server)) => format!("{server} is down ({service})"),
        (NoticeKind::ServerUp, Some(server)) => format!("{server} is available again ({service})"),
        (NoticeKind::ServiceUp, _) => format!("{service} is available again"),
        (NoticeKind::Control, Some(server)) => format!("{server} was changed ({service})"),
        (NoticeKind::Control, None) => format!("{service} was changed"),
        (NoticeKind::ServiceDown | NoticeKind::ServerDown | NoticeKind::ServerUp, _) => {
            format!("{service} has no available server")
        }
    }
}

/// Returns the message of a notice. Only with `hostnames` does it have the host of the server.
pub(super) fn message(notice: &Notice, hostnames: bool) -> String {
    let mut sentences = Vec::new();
    let host = notice.host.as_deref().filter(|_| hostnames).map(|host| format!(" ({})", tidy(host)));
    let subject = |server: &str| format!("{}{}", tidy(server), host.as_deref().unwrap_or_default());
    let detail = notice.detail.as_deref().or(notice.reason.as_deref()).map(tidy);
    let duration = notice.outage_ms.map(format_duration);
    match (notice.kind, notice.server.as_deref(), detail, duration) {
        (NoticeKind::ServerDown | NoticeKind::ServiceDown, Some(server), Some(detail), _) => {
            sentences.push(format!("{}: {detail}.", subject(server)));
        }
        (NoticeKind::ServerUp, Some(server), _, Some(duration)) => {
            sentences.push(format!("{} was down for {duration}.", subject(server)));
        }
        (NoticeKind::ServiceUp, _, _, Some(duration)) => {
            sentences.push(format!("No server was available for {duration}."));
        }
        (NoticeKind::Control, _, Some(detail), _) => sentences.push(format!("{detail}.")),
        (_, Some(server), _, _) if host.is_some() => sentences.push(format!("{}.", subject(server))),
        _ => {}
    }
    if notice.kind != NoticeKind::Control {
        sentences.push(traffic(notice));
    }
    if let Some(earlier) = notice.changes.checked_sub(1).filter(|earlier| *earlier > 0) {
        let changes = if earlier == 1 { "change was" } else { "changes were" };
        sentences.push(format!("{earlier} earlier {changes} not announced."));
    }
    sentences.join(" ")
}

/// Returns where the traffic goes.
fn traffic(notice: &Notice) -> String {
    let available = &notice.available;
    if let Some(server) = &notice.serving {
        return format!("{} serves now.", tidy(server));
    }
    if available.is_empty() {
        return "No server is available.".to_owned();
    }
    let listed: Vec<String> = available.iter().take(MAX_SERVERS).map(|server| tidy(server)).collect();
    let mut text = format!("Available: {}", listed.join(", "));
    if let Some(more) = available.len().checked_sub(MAX_SERVERS).filter(|more| *more > 0) {
        // Writing to a string cannot fail.
        let _ = write!(text, " and {more} more");
    }
    text + "."
}

/// Makes hidden characters visible, and limits the length.
pub(super) fn tidy(text: &str) -> String {
    let text = escape_invisible(text.trim().trim_end_matches('.').to_owned());
    clip(&text, MAX_CHARS)
}

/// Returns the first characters of a string.
pub(super) fn clip(text: &str, longest: usize) -> String {
    match text.char_indices().nth(longest) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// Formats a duration for people: two units at most.
pub(crate) fn format_duration(millis: u64) -> String {
    let seconds = millis / 1000;
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    let two = |large: u64, large_unit, small: u64, small_unit| {
        if small == 0 { format!("{large}{large_unit}") } else { format!("{large}{large_unit} {small}{small_unit}") }
    };
    match (days, hours, minutes) {
        (0, 0, 0) if seconds == 0 => "less than 1s".to_owned(),
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, _) => two(minutes, "m", seconds % 60, "s"),
        (0, ..) => two(hours, "h", minutes % 60, "m"),
        _ => two(days, "d", hours % 24, "h"),
    }
}

/// Formats a time as in the log: RFC 3339 in UTC, with milliseconds.
pub(super) fn format_time(millis: u64) -> String {
    let (days, rest) = (millis / 86_400_000, millis % 86_400_000);
    // Years start in March, so that leap days are the last ones. An era has 400 years.
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let (hour, minute, second) = (rest / 3_600_000, rest / 60_000 % 60, rest / 1000 % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z", rest % 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_two_units() {
        let table = [
            (0, "less than 1s"),
            (59_999, "59s"),
            (60_000, "1m"),
            (185_000, "3m 5s"),
            (3_600_000, "1h"),
            (3_661_000, "1h 1m"),
            (90_000_000, "1d 1h"),
        ];
        for (millis, expected) in table {
            assert_eq!(format_duration(millis), expected);
        }
    }

    #[test]
    fn times_are_dates() {
        let table = [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (951_868_800_000, "2000-03-01T00:00:00.000Z"),
            (1_709_251_199_999, "2024-02-29T23:59:59.999Z"),
            (1_767_225_599_001, "2025-12-31T23:59:59.001Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
        ];
        for (millis, expected) in table {
            assert_eq!(format_time(millis), expected);
        }
    }
}

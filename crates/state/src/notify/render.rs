//! Requests in the formats of the services that are notified.

use super::notice::{Notice, NoticeKind};
use super::target::{NotifyTarget, TargetKind};
use super::text::{clip, format_time, message, tidy, title};
use crate::json::Object;

/// A request to send. Redirects must not be followed: the headers may be secrets.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Delivery {
    /// Identifies it: see [`Notifications::on_result`](super::Notifications::on_result).
    pub id: String,
    /// Where it is sent, without secrets: see [`NotifyTarget::name`].
    pub target: String,
    /// The method.
    pub method: &'static str,
    /// The URL, which may be a secret.
    pub url: String,
    /// The headers, with names in lower case. Values may be secrets.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: String,
}

impl std::fmt::Debug for Delivery {
    /// Omits what may be a secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Delivery").field("id", &self.id).field("target", &self.target).finish_non_exhaustive()
    }
}

/// The user agent. Some services reject requests without one.
const USER_AGENT: &str = concat!("tunnel-balancer/", env!("CARGO_PKG_VERSION"));

/// Returns the request that announces a notice.
pub(super) fn notice(target: &NotifyTarget, notice: &Notice, id: &str) -> Delivery {
    let (title, message) = (title(notice), message(notice, target.hostnames));
    let mut url = target.url.clone();
    let mut token_header = ("authorization", "Bearer ");
    let body = match target.kind {
        TargetKind::Json | TargetKind::Heartbeat => {
            generic(target, notice, id).text("title", &title).text("message", &message)
        }
        // <https://docs.ntfy.sh/publish/#publish-as-json>. It is posted to the root of the server.
        // Since version 2.16, a message replaces an earlier one with the same `sequence_id`;
        // earlier versions ignore the field.
        TargetKind::Ntfy => {
            let path = target.url.split(['?', '#']).next().unwrap_or_default().trim_end_matches('/');
            let (root, topic) = path.rsplit_once('/').unwrap_or_default();
            url = format!("{root}/");
            let (priority, tag) = match notice.kind {
                NoticeKind::ServiceDown => (5, "rotating_light"),
                NoticeKind::ServerDown => (4, "warning"),
                NoticeKind::ServiceUp | NoticeKind::ServerUp => (3, "white_check_mark"),
                NoticeKind::Control => (3, "wrench"),
            };
            let body = Object::default().text("topic", topic).text("title", &title).text("message", &message);
            body.number("priority", priority).list("tags", &[tag]).text("sequence_id", id)
        }
        // Up to 2,000 characters. An empty list of mentions disables `@everyone` and the others.
        // The flag 4 disables previews of links.
        TargetKind::Discord => {
            let content = format!("**{}**\n{}", escape_markdown(&title), escape_markdown(&message));
            let body = Object::default().text("content", &clip(&content, 1900));
            body.object("allowed_mentions", Object::default().list("parse", &[])).number("flags", 4)
        }
        // `&`, `<` and `>` are control characters, and `mrkdwn` is the formatting by `*` and
        // others.
        TargetKind::Slack => {
            let text = escape_html(&clip(&format!("{title}\n{message}"), 3000));
            Object::default().text("text", &text).flag("mrkdwn", false).flag("unfurl_links", false)
        }
        // It shows the message as plain text.
        TargetKind::Gotify => {
            url = format!("{}/message", url.trim_end_matches('/'));
            token_header = ("x-gotify-key", "");
            let priority = match notice.kind {
                NoticeKind::ServiceDown => 8,
                NoticeKind::ServerDown => 6,
                NoticeKind::ServiceUp | NoticeKind::ServerUp | NoticeKind::Control => 4,
            };
            Object::default().text("title", &title).text("message", &message).number("priority", priority)
        }
    };
    let mut headers = vec![
        ("content-type".to_owned(), "application/json".to_owned()),
        ("user-agent".to_owned(), USER_AGENT.to_owned()),
    ];
    if target.kind == TargetKind::Json {
        headers.push(("idempotency-key".to_owned(), id.to_owned()));
    }
    let (name, prefix) = token_header;
    headers.extend(target.token.iter().map(|token| (name.to_owned(), format!("{prefix}{token}"))));
    headers.extend(target.headers.iter().cloned());
    Delivery { id: id.to_owned(), target: target.name(), method: "POST", url, headers, body: body.finish() }
}

/// Returns the request that shows that the balancer works.
pub(super) fn heartbeat(target: &NotifyTarget, id: &str) -> Delivery {
    let mut headers = vec![("user-agent".to_owned(), USER_AGENT.to_owned())];
    headers.extend(target.headers.iter().cloned());
    let (target, url) = (target.name(), target.url.clone());
    Delivery { id: id.to_owned(), target, method: "GET", url, headers, body: String::new() }
}

/// Returns the generic format without `title` and `message`. Fields may be added; `version` changes
/// if one is changed or removed.
fn generic(target: &NotifyTarget, notice: &Notice, id: &str) -> Object {
    let mut body = Object::default().number("version", 1).text("id", id).text("ts", &format_time(notice.at));
    body = body.text("event", notice.kind.as_str()).text("service", &notice.service);
    let optional = [
        ("server", notice.server.clone()),
        ("host", notice.host.clone().filter(|_| target.hostnames)),
        ("reason", notice.reason.clone()),
        ("detail", notice.detail.as_deref().map(tidy)),
    ];
    for (name, value) in optional {
        body = body.optional_text(name, value.as_deref());
    }
    if let Some(outage) = notice.outage_ms {
        body = body.number("outage_ms", outage);
    }
    let available: Vec<&str> = notice.available.iter().map(String::as_str).collect();
    body = body.optional_text("serving", notice.serving.as_deref()).list("available", &available);
    body.number("changes", u64::from(notice.changes))
}

/// Escapes what Discord reads as formatting, a mention or a link.
fn escape_markdown(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '\\' | '*' | '_' | '~' | '`' | '|' | '>' | '<' | '[' | ']' | '(' | ')' | '#' | '@' | '-' | ':') {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

fn escape_html(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

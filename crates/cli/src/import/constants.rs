//! The constants of a script, and what their names say about health checks.

use std::collections::BTreeMap;

use tunnel_balancer_config::yaml_text;

use super::javascript::{Kind, Token};
use super::value::{default_of, given, is_mark};

/// What names stand for.
pub(super) type Constants = BTreeMap<String, Constant>;

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Constant {
    pub(super) value: Value,
    pub(super) line: usize,
    /// It is this only where nothing else is set.
    pub(super) is_default: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Text(String),
    Number(f64),
    /// It is put together at run time.
    Unknown,
}

/// Everything of the form `NAME = value` or `name: value`; of several the first that is written
/// out. What is in an object about health checks is named as in `healthCheck.path`.
pub(super) fn constants(tokens: &[Token]) -> Constants {
    let mut constants = Constants::new();
    // The object about health checks that was seen last, and where it ends.
    let (mut about_health, mut end) = ("", 0);
    for (at, token) in tokens.iter().enumerate() {
        let Some(given) = given(tokens, at) else { continue };
        if at >= end && is_mark(given.value, 0, "{") && is_about_health(&given.name.to_ascii_lowercase()) {
            (about_health, end) = (given.name, given.start + given.value.len());
            continue;
        }
        let Some((value, is_default)) = value(given.value) else { continue };
        let is_better = |before: &Constant| before.value == Value::Unknown && value != Value::Unknown;
        let name = if at < end { format!("{about_health}.{}", given.name) } else { given.name.to_owned() };
        if constants.get(&name).is_none_or(is_better) {
            constants.insert(name, Constant { value, line: token.line, is_default });
        }
    }
    constants
}

/// The key of a health check that a constant stands for, and its value in YAML, or why that cannot
/// be said.
pub(super) fn setting(name: &str, value: &Value) -> Option<(&'static str, Result<String, &'static str>)> {
    let name = name.replace('_', "").to_ascii_lowercase().replace("checkout", "");
    let has = |words: &[&str]| words.iter().any(|word| name.contains(word));
    // A number is nothing else than a time; of anything else the name has to say more.
    let is_number = matches!(value, Value::Number(_));
    let is =
        |words: &[&str]| words.iter().any(|word| without_unit(&name).ends_with(word) || (is_number && has(&[word])));
    let is_about_health = is_about_health(&name);
    if is_about_health {
        match value {
            Value::Text(path) if path.starts_with('/') && has(&PATHS) => return Some(("path", Ok(yaml_text(path)))),
            Value::Text(path) if is(&PATHS) => return Some(("path", relative(path))),
            Value::Unknown if is(&PATHS) => return Some(("path", Err(NOT_WRITTEN_OUT))),
            _ => {}
        }
    }
    if is(&["interval"]) || (is_about_health && is(&["ttl", "period", "every"])) {
        return Some(("interval", time(&name, value)));
    }
    let is_surely = is_about_health || ["timeout", "timeoutms"].contains(&name.as_str());
    is(&["timeout"]).then(|| ("timeout", if is_surely { time(&name, value) } else { Err(OTHER_TIMEOUT) }))
}

fn is_about_health(name: &str) -> bool {
    ["health", "check", "probe"].iter().any(|word| name.contains(word))
}

const PATHS: [&str; 4] = ["path", "endpoint", "route", "url"];
const NOT_WRITTEN_OUT: &str = "its value is not written out";
const OTHER_TIMEOUT: &str =
    "it may not be the timeout of health checks; for requests there is `retry: { per_try_timeout: ... }`";

/// A value that is worth to be known, and whether it is only a default.
fn value(tokens: &[Token]) -> Option<(Value, bool)> {
    if let Some(value) = literal(tokens) {
        return Some((value, false));
    }
    if let Some(value) = default_of(tokens).and_then(literal) {
        return Some((value, true));
    }
    let is_function = tokens.windows(2).any(|two| {
        matches!(two, [Token { kind: Kind::Mark('='), .. }, Token { kind: Kind::Mark('>'), depth, .. }]
            if tokens.first().is_some_and(|first| first.depth == *depth))
    });
    let is_nothing = matches!(tokens.first(), Some(Token { kind: Kind::Name(word), .. })
        if ["null", "undefined", "true", "false", "function", "setTimeout", "setInterval"].contains(&word.as_str()));
    (!is_function && !is_nothing).then_some((Value::Unknown, false))
}

/// A text, a number, or numbers as in `30 * 1000`.
fn literal(tokens: &[Token]) -> Option<Value> {
    if let [Token { kind: Kind::Text(text), .. }] = tokens {
        return Some(Value::Text(text.clone()));
    }
    let factors = tokens.split(|token| token.kind == Kind::Mark('*')).map(|factor| match factor {
        [Token { kind: Kind::Number(number), .. }] => Some(*number),
        _ => None,
    });
    factors.product::<Option<f64>>().map(Value::Number)
}

/// A path that is put behind a `/`.
fn relative(path: &str) -> Result<String, &'static str> {
    if path.contains("://") {
        return Err("it is a whole address, and each server is asked for a path of its own");
    }
    let is_path = !path.is_empty() && path.chars().all(|c| c.is_ascii_alphanumeric() || "-_.~/?=&%".contains(c));
    is_path.then(|| yaml_text(&format!("/{path}"))).ok_or("it is no path")
}

/// A time as a number, or as a text such as `30s`.
fn time(name: &str, value: &Value) -> Result<String, &'static str> {
    match value {
        Value::Number(number) => duration(name, *number),
        Value::Text(text) => match text.trim().parse() {
            Ok(number) => duration(name, number),
            Err(_) if text.chars().all(|c| c.is_ascii_alphanumeric()) => Ok(text.clone()),
            Err(_) => Ok(yaml_text(text)),
        },
        Value::Unknown => Err(NOT_WRITTEN_OUT),
    }
}

fn without_unit(name: &str) -> &str {
    let units = ["milliseconds", "millis", "ms", "seconds", "secs", "sec"];
    units.iter().find_map(|unit| name.strip_suffix(unit)).unwrap_or(name)
}

/// A time in the unit that its name tells, or else in milliseconds, in which timers count, if it
/// can be no other.
fn duration(name: &str, number: f64) -> Result<String, &'static str> {
    let milliseconds = if name.ends_with("ms") || name.ends_with("millis") || name.ends_with("milliseconds") {
        number
    } else if ["seconds", "secs", "sec"].iter().any(|unit| name.ends_with(unit)) {
        number * 1000.0
    } else if number >= 1000.0 {
        number
    } else {
        return Err("its unit is not known");
    };
    /// A day: nothing longer is a setting.
    const MOST: f64 = 86_400_000.0;
    if !(1.0..=MOST).contains(&milliseconds) || milliseconds.fract() != 0.0 {
        return Err("it is no time from 1ms to 24h");
    }
    let seconds = milliseconds / 1000.0;
    Ok(if seconds.fract() == 0.0 { format!("{seconds}s") } else { format!("{milliseconds}ms") })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import::javascript::tokens;

    #[test]
    fn constants_are_what_is_written_out() {
        let script =
            "const A = 'x', B = 2 * 30 * 1000; let c = { d: `y`, e: 1 + 2, f: g, A: 'later' }\nh = 5\ni = j * 2
            const K: string = 'k', L = env.L ?? 'l', M = env.M ? Number(env.M) : 7, N = null, o = () => 5, e = 3";
        let found: Vec<String> = constants(&tokens(script).unwrap())
            .into_iter()
            .map(|(name, Constant { value, line, is_default })| {
                format!("{name} {value:?} {line}{}", if is_default { " default" } else { "" })
            })
            .collect();
        let expected = [
            "A Text(\"x\") 1",
            "B Number(60000.0) 1",
            "K Text(\"k\") 4",
            "L Text(\"l\") 4 default",
            "M Number(7.0) 4 default",
            "c Unknown 1",
            "d Text(\"y\") 1",
            "e Number(3.0) 4",
            "f Unknown 1",
            "h Number(5.0) 2",
            "i Unknown 3",
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn names_say_what_a_constant_is() {
        let number = |name, number| setting(name, &Value::Number(number));
        let text = |name, text: &str| setting(name, &Value::Text(text.to_owned()));
        let address = "it is a whole address, and each server is asked for a path of its own";
        let table = [
            (number("CHECK_INTERVAL", 30_000.0), Some(("interval", Ok("30s")))),
            (number("healthTtlSeconds", 45.0), Some(("interval", Ok("45s")))),
            (number("PROBE_TIMEOUT_MS", 500.0), Some(("timeout", Ok("500ms")))),
            (number("TIMEOUT", 5_000.0), Some(("timeout", Ok("5s")))),
            (number("INTERVAL", 30.0), Some(("interval", Err("its unit is not known")))),
            (number("INTERVAL_MS", 0.5), Some(("interval", Err("it is no time from 1ms to 24h")))),
            (number("INTERVAL_MS", f64::INFINITY), Some(("interval", Err("it is no time from 1ms to 24h")))),
            (number("PORT", 8_080.0), None),
            (text("CHECK_INTERVAL", "30s"), Some(("interval", Ok("30s")))),
            (text("CHECK_INTERVAL", "30000"), Some(("interval", Ok("30s")))),
            (text("INTERVAL_HEADER", "x"), None),
            (text("HEALTH_PATH", "/up"), Some(("path", Ok("/up")))),
            (text("HEALTH_PATH", "health"), Some(("path", Ok("/health")))),
            (text("HEALTH_PATH", ""), Some(("path", Err("it is no path")))),
            (text("HEALTH_URL", "https://a.example.com"), Some(("path", Err(address)))),
            (number("FETCH_TIMEOUT", 5_000.0), Some(("timeout", Err(OTHER_TIMEOUT)))),
            (text("LOGIN_PATH", "/login"), None),
            (text("CHECKOUT_PATH", "/checkout"), None),
            (setting("HEALTH_PATH", &Value::Unknown), Some(("path", Err(NOT_WRITTEN_OUT)))),
            (setting("HEALTH_STATE", &Value::Unknown), None),
        ];
        for (index, (found, expected)) in table.into_iter().enumerate() {
            let expected = expected.map(|(key, value): (_, Result<&str, _>)| (key, value.map(str::to_owned)));
            assert_eq!(found, expected, "row {index}");
        }
    }
}

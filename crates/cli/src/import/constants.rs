//! The constants of a script, and what their names say about health checks.

use std::collections::BTreeMap;

use tunnel_balancer_config::yaml_text;

use super::javascript::{Kind, Token};

/// What a name stands for, where that is written out, and its line.
pub(super) type Constants = BTreeMap<String, (Constant, usize)>;

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Constant {
    Text(String),
    Number(f64),
}

/// Everything of the form `NAME = value` or `name: value`; of several the first.
pub(super) fn constants(tokens: &[Token]) -> Constants {
    let mut constants = Constants::new();
    for (at, token) in tokens.iter().enumerate() {
        let Kind::Name(name) = &token.kind else { continue };
        let mut rest = tokens.get(at + 1..).unwrap_or_default().iter().map(|token| &token.kind);
        if !matches!(rest.next(), Some(Kind::Mark('=' | ':'))) {
            continue;
        }
        let mut value = match rest.next() {
            Some(Kind::Text(text)) => Constant::Text(text.clone()),
            Some(Kind::Number(number)) => Constant::Number(*number),
            _ => continue,
        };
        let mut next = rest.next();
        // As in `30 * 1000`.
        while let (Constant::Number(product), Some(Kind::Mark('*'))) = (&mut value, next) {
            let Some(Kind::Number(factor)) = rest.next() else { break };
            *product *= factor;
            next = rest.next();
        }
        // Anything else behind it is a calculation. A line without a semicolon ends by itself.
        if matches!(next, None | Some(Kind::Mark(';' | ',' | '}' | ')') | Kind::Name(_))) {
            constants.entry(name.clone()).or_insert((value, token.line));
        }
    }
    constants
}

/// The key of a health check that a constant stands for, and its value in YAML; or why that cannot be said.
pub(super) fn setting(name: &str, value: &Constant) -> Option<Result<(&'static str, String), &'static str>> {
    let name = name.replace('_', "").to_ascii_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| name.contains(word));
    let is_about_health = has(&["health", "check", "probe"]);
    match value {
        Constant::Text(path)
            if is_about_health && has(&["path", "endpoint", "route", "url"]) && path.starts_with('/') =>
        {
            Some(Ok(("path", yaml_text(path))))
        }
        Constant::Number(number) if has(&["interval"]) || (is_about_health && has(&["ttl", "period", "every"])) => {
            Some(duration(&name, *number).map(|value| ("interval", value)))
        }
        Constant::Number(number) if has(&["timeout"]) => {
            if !is_about_health && !["timeout", "timeoutms"].contains(&name.as_str()) {
                return Some(Err(
                    "it may not be the timeout of health checks; for requests there is `retry: { try_timeout: ... }`",
                ));
            }
            Some(duration(&name, *number).map(|value| ("timeout", value)))
        }
        _ => None,
    }
}

/// A time in the unit that its name tells, or else in milliseconds, in which timers count, if it can be no other.
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
            "const A = 'x', B = 2 * 30 * 1000; let c = { d: `y`, e: 1 + 2, f: g, A: 'later' }\nh = 5\ni = j * 2";
        let found: Vec<String> = constants(&tokens(script).unwrap())
            .into_iter()
            .map(|(name, (value, line))| format!("{name} {value:?} {line}"))
            .collect();
        assert_eq!(found, ["A Text(\"x\") 1", "B Number(60000.0) 1", "d Text(\"y\") 1", "h Number(5.0) 2"]);
    }

    #[test]
    fn names_say_what_a_constant_is() {
        let number = |name, number| setting(name, &Constant::Number(number));
        let table = [
            (number("CHECK_INTERVAL", 30_000.0), Some(Ok(("interval", "30s")))),
            (number("healthTtlSeconds", 45.0), Some(Ok(("interval", "45s")))),
            (number("PROBE_TIMEOUT_MS", 500.0), Some(Ok(("timeout", "500ms")))),
            (number("TIMEOUT", 5_000.0), Some(Ok(("timeout", "5s")))),
            (number("INTERVAL", 30.0), Some(Err("its unit is not known"))),
            (number("INTERVAL_MS", 0.5), Some(Err("it is no time from 1ms to 24h"))),
            (number("INTERVAL_MS", f64::INFINITY), Some(Err("it is no time from 1ms to 24h"))),
            (number("PORT", 8_080.0), None),
            (setting("HEALTH_PATH", &Constant::Text("/up".to_owned())), Some(Ok(("path", "/up")))),
            (setting("HEALTH_URL", &Constant::Text("https://a.example.com".to_owned())), None),
            (setting("LOGIN_PATH", &Constant::Text("/login".to_owned())), None),
        ];
        for (index, (found, expected)) in table.into_iter().enumerate() {
            let expected = expected.map(|it| it.map(|(key, value)| (key, value.to_owned())));
            assert_eq!(found, expected, "row {index}");
        }
    }
}

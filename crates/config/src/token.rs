//! Names of headers and cookies.

use tunnel_balancer_core::headers::{MAX_TOKEN, is_token};

use crate::diagnostic::Code;
use crate::node::Value;
use crate::report::Report;
use crate::value_schema::StringSchema;

pub(crate) const TOKEN: StringSchema =
    StringSchema { what: "a name", pattern: r"^[A-Za-z0-9!#$%&'*+.^_`|~-]+$", longest: Some(MAX_TOKEN) };

/// Reads the name of `what`: a token of RFC 9110, section 5.6.2. The message omits other strings,
/// which often contain a secret beside the name.
pub(crate) fn token<'a>(value: &'a Value<'_>, what: &str) -> Result<&'a str, Report> {
    let Value::String(name) = value else {
        return Err(Report::wrong_type_redacted(&format!("the name of {what}"), value).hint_at_quotes(value));
    };
    if is_token(name) {
        return Ok(name);
    }
    let report = Report::new(Code::InvalidValue, format!("not a valid name of {what}"));
    Err(report.hint(format!("use 1 to {MAX_TOKEN} ASCII letters, digits, `-`, `_` and `.`")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_tokens_are_accepted() {
        for name in ["x", "X-User", "__Host-lb", "a.b", "!#$%&'*+-.^_`|~9", &"x".repeat(MAX_TOKEN)] {
            assert_eq!(token(&Value::String(name.into()), "a header").ok(), Some(name));
        }
        for name in
            ["", "a b", "a:b", "a=b", "a;b", "a,b", "a\"b", "a\\b", "(a)", "ä", "a\n", &"x".repeat(MAX_TOKEN + 1)]
        {
            assert!(token(&Value::String(name.into()), "a header").is_err(), "{name:?}");
        }
    }
}

//! Redaction of URLs in messages: credentials and queries, which may contain secrets.

/// Replaces the credentials and queries of URLs in `text` by asterisks, one for each character, so
/// that columns do not change.
///
/// ```
/// use tunnel_balancer_config::redact_urls;
///
/// assert_eq!(redact_urls("http://me:pass@localhost:1/x?token=y"), "http://*******@localhost:1/x?*******");
/// assert_eq!(redact_urls("https://a.example.com/@me and what?"), "https://a.example.com/@me and what?");
/// ```
pub fn redact_urls(text: &str) -> String {
    text.split_inclusive(is_end).map(redacted).collect()
}

/// Returns whether a character ends a URL.
fn is_end(c: char) -> bool {
    c.is_whitespace() || c == '"' || c == '\''
}

/// Redacts a word, which may end with the character after it.
fn redacted(word: &str) -> String {
    let (word, end) = word.split_at_checked(word.trim_end_matches(is_end).len()).unwrap_or((word, ""));
    let (address, query) = word.split_once('?').filter(|(address, _)| address.contains('/')).unwrap_or((word, ""));
    let mark = word.get(address.len()..word.len() - query.len()).unwrap_or_default();
    [&without_credentials(address), mark, &asterisks(query), end].concat()
}

fn without_credentials(address: &str) -> String {
    let (scheme, rest) = match address.split_once("//") {
        Some((scheme, rest)) => (format!("{scheme}//"), rest),
        // An item of a list or a map on one line.
        None => {
            let start = address.rfind(['[', '{', ',']).map_or(0, |at| at + 1);
            let (before, rest) = address.split_at_checked(start).unwrap_or(("", address));
            (before.to_owned(), rest)
        }
    };
    let has_scheme = scheme.ends_with("//");
    let authority = rest.split('/').next().unwrap_or_default();
    match authority.rsplit_once('@').filter(|(before, _)| has_scheme || before.contains(':')) {
        Some((before, _)) => scheme + &asterisks(before) + rest.get(before.len()..).unwrap_or_default(),
        None => address.to_owned(),
    }
}

fn asterisks(hidden: &str) -> String {
    "*".repeat(hidden.chars().count())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_and_queries_are_redacted() {
        let table = [
            ("- https://user:pass@a.example.com/x", "- https://*********@a.example.com/x"),
            (
                "[\"http://u:p@ss@b.example.com\", c.example.com:80]",
                "[\"http://******@b.example.com\", c.example.com:80]",
            ),
            ("[x,user:pass@b.example.com]", "[x,*********@b.example.com]"),
            ("https://us?er:pass@x", "https://us?*********"),
            ("https://a/?b=ü&c", "https://a/?*****"),
            ("'/health?token=x' # why?", "'/health?*******' # why?"),
            ("https://a.example.com/@x me@example.com", "https://a.example.com/@x me@example.com"),
            ("", ""),
        ];
        for (text, expected) in table {
            assert_eq!(redact_urls(text), expected);
        }
    }
}

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
    let text: String = text.split_inclusive('\n').map(without_divided_credentials).collect();
    text.split_inclusive(is_end).map(redacted).collect()
}

/// Redacts credentials that contain a space or a quote, up to the last `@` of the line.
fn without_divided_credentials(line: &str) -> String {
    let Some((before, host)) = line.rsplit_once('@') else { return line.to_owned() };
    let (mut start, mut rest) = (0, before);
    while let Some((scheme, credentials)) = rest.split_once("://") {
        start += scheme.len() + "://".len();
        rest = credentials;
        let authority = rest.split(|c| is_end(c) || "/?#,]}@".contains(c)).next().unwrap_or_default();
        let is_divided = rest.get(authority.len()..).is_some_and(|rest| rest.starts_with(is_end));
        let password = authority.split_once(':').map_or("", |(_, password)| password);
        if is_divided && !password.bytes().all(|b| b.is_ascii_digit()) {
            let shown = before.get(..start).unwrap_or_default();
            return format!("{shown}{}@{host}", asterisks(rest));
        }
    }
    line.to_owned()
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

/// Redacts everything between the scheme and the last `@`, also in a malformed URL.
fn without_credentials(address: &str) -> String {
    let Some((before, host)) = address.rsplit_once('@') else { return address.to_owned() };
    let scheme = scheme_end(before);
    let start = scheme.unwrap_or_else(|| item_start(before));
    let (shown, credentials) = before.split_at_checked(start).unwrap_or(("", before));
    let is_credentials = credentials.contains(':') || (scheme.is_some() && !credentials.ends_with('/'));
    if is_credentials { format!("{shown}{}@{host}", asterisks(credentials)) } else { address.to_owned() }
}

/// Returns the end of the scheme, which may lack its colon or a slash.
fn scheme_end(address: &str) -> Option<usize> {
    if let Some(at) = address.find("://") {
        return Some(at + "://".len());
    }
    let lower = address.to_ascii_lowercase();
    let rest = lower.get(lower.find("http")? + "http".len()..)?;
    let rest = rest.strip_prefix('s').unwrap_or(rest);
    let after = rest.trim_start_matches([':', '/']);
    (after.len() < rest.len()).then(|| address.len() - after.len())
}

/// Returns the start of the last item of a list or a map on one line that has a colon.
fn item_start(text: &str) -> usize {
    let Some(colon) = text.rfind(':') else { return text.len() };
    text.get(..colon).and_then(|before| before.rfind(['[', '{', ','])).map_or(0, |at| at + 1)
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
            ("\"https:/user:pass@b.example.com\"", "\"https:/*********@b.example.com\""),
            ("https:user:pass@b.example.com", "https:*********@b.example.com"),
            ("HTTPS//user:pass@b.example.com", "HTTPS//*********@b.example.com"),
            ("https://user:pa/ss@b.example.com", "https://**********@b.example.com"),
            ("[https://a,https://u:p@b]", "[https://*************@b]"),
            ("user:pa,ss@b.example.com", "**********@b.example.com"),
            ("https://user:my pass@b.example.com", "https://************@b.example.com"),
            ("'https://user:it's@b.example.com'", "'https://*********@b.example.com'"),
            ("https://a.example.com:80 me@example.com", "https://a.example.com:80 me@example.com"),
            ("https://token@b.example.com", "https://*****@b.example.com"),
            ("", ""),
        ];
        for (text, expected) in table {
            assert_eq!(redact_urls(text), expected);
        }
    }
}

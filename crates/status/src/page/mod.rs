//! The page: one HTML document with its styles and its script. It has no data of the
//! configuration, because its script requests the report with the token of the reader.
//!
//! The build script makes it, so that programs have it without comments and need no hashes.
//! Its tests run with those of the crate.

#[cfg(test)]
#[path = "../../build/compact.rs"]
mod compact;
#[cfg(test)]
#[path = "../../build/digest.rs"]
mod digest;

use crate::http::StatusResponse;

const DOCUMENT: &str = include_str!(concat!(env!("OUT_DIR"), "/page.html"));
const POLICY: &str = include_str!(concat!(env!("OUT_DIR"), "/page.policy"));

/// Returns the response with the page. It is the same for all requests.
pub fn response() -> StatusResponse {
    StatusResponse::new(200, "text/html; charset=utf-8", DOCUMENT).with_header("content-security-policy", POLICY)
}

#[cfg(test)]
mod tests {
    use super::digest::digest;
    use super::*;

    #[test]
    fn the_document_is_below_40_kb() {
        let bytes = DOCUMENT.len();
        assert!(bytes < 40_000, "{bytes} bytes");
    }

    #[test]
    fn the_policy_has_the_digests_of_the_inlined_text() {
        let StatusResponse { headers, body: document, .. } = response();
        let (_, policy) = headers.iter().find(|(name, _)| *name == "content-security-policy").expect("a policy");
        for (tag, directive) in [("script", "script-src"), ("style", "style-src")] {
            let (_, rest) = document.split_once(&format!("<{tag}>")).expect("one element");
            let (text, _) = rest.split_once(&format!("</{tag}>")).expect("an end");
            assert!(text.len() > 1000 && !text.contains("</"), "{tag}");
            assert!(policy.contains(&format!("{directive} 'sha256-{}';", digest(text))), "{policy}");
        }
    }

    #[test]
    fn the_document_needs_nothing_else() {
        let document = DOCUMENT.replace("http://www.w3.org/2000/svg", "");
        for forbidden in ["http:", "https:", " style=", " onclick=", "@import", "url(", "innerHTML", "eval("] {
            assert!(!document.contains(forbidden), "{forbidden}");
        }
    }
}

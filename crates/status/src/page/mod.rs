//! The page: one HTML document with its styles and its script. It has no data of the
//! configuration, because its script requests the report with the token of the reader.

mod compact;

use std::sync::LazyLock;

use sha2::{Digest as _, Sha256};

use compact::compact;

use crate::http::StatusResponse;

const HTML: &str = include_str!("page.html");
const STYLES: &str = include_str!("page.css");
/// The parts of the script, in order.
const SCRIPT: &str = concat!(
    include_str!("js/dom.js"),
    include_str!("js/format.js"),
    include_str!("js/charts.js"),
    include_str!("js/facts.js"),
    include_str!("js/full.js"),
    include_str!("js/details.js"),
    include_str!("js/control.js"),
    include_str!("js/public.js"),
    include_str!("js/main.js"),
);

/// Returns the response with the page. It is the same for all requests.
pub fn response() -> StatusResponse {
    let Page { document, policy } = page();
    StatusResponse::new(200, "text/html; charset=utf-8", document).with_header("content-security-policy", policy)
}

/// The page, and the policy that a browser enforces for it.
struct Page {
    /// The HTML document.
    document: String,
    /// The value of `Content-Security-Policy`: only this script and these styles are used, and
    /// requests go only to the origin of the page.
    policy: String,
}

fn page() -> &'static Page {
    static PAGE: LazyLock<Page> = LazyLock::new(|| {
        let (styles, script) = (compact(STYLES, compact::STYLES), compact(SCRIPT, compact::SCRIPT));
        // The last declaration of a rule needs no semicolon.
        let styles = styles.replace(";}", "}");
        let policy = format!(
            "default-src 'none'; script-src 'sha256-{}'; style-src 'sha256-{}'; connect-src 'self'; img-src data:; \
             base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
            digest(&script),
            digest(&styles)
        );
        let document = HTML
            .replace("<style></style>", &["<style>", &styles, "</style>"].concat())
            .replace("<script></script>", &["<script>", &script, "</script>"].concat());
        Page { document, policy }
    });
    &PAGE
}

/// Returns the SHA-256 digest of a string in Base64.
fn digest(text: &str) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digest = Sha256::digest(text);
    let mut base64 = String::with_capacity(44);
    for chunk in digest.chunks(3) {
        let bits = chunk.iter().fold(0_usize, |bits, byte| (bits << 8) | usize::from(*byte)) << (8 * (3 - chunk.len()));
        for index in 0..4 {
            let symbol = ALPHABET.get((bits >> (18 - 6 * index)) & 63).filter(|_| index <= chunk.len());
            base64.push(symbol.map_or('=', |symbol| char::from(*symbol)));
        }
    }
    base64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_base64() {
        assert_eq!(digest(""), "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=");
    }

    #[test]
    fn the_document_is_below_40_kb() {
        let bytes = page().document.len();
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
        let document = page().document.replace("http://www.w3.org/2000/svg", "");
        for forbidden in ["http:", "https:", " style=", " onclick=", "@import", "url(", "innerHTML", "eval("] {
            assert!(!document.contains(forbidden), "{forbidden}");
        }
    }
}

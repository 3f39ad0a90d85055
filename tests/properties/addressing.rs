//! Targets of requests: every request is sent to a configured server.

use proptest::prelude::*;
use tunnel_balancer_core::{ServerUrl, host};
use tunnel_balancer_properties::{host, target};

/// Generates paths as browsers and attackers write them: slashes, backslashes, dots, colons, at
/// signs and arbitrary characters.
fn path() -> impl Strategy<Value = String> {
    prop_oneof![
        r#"[/\\@:.?#%a-z0-9 \t\r\n\[\]]{0,24}"#,
        r"(/|//|/\\|\\\\|/@|/%2f|/\.\./|http://|https:)?evil\.example[/:@a-z0-9]{0,8}",
        ".{0,24}",
    ]
}

proptest! {
    #[test]
    fn hdr_11_no_path_changes_the_host(path in path()) {
        target(&path);
    }

    #[test]
    fn the_path_arrives_byte_for_byte(path in path()) {
        let (url, slash) = (format!("https://svc.example/{path}"), format!("/{path}"));
        prop_assert_eq!(host::split_url(&url), Some(("https", "svc.example", slash.as_str())));
        let server: ServerUrl = "a.example/base".parse().unwrap();
        prop_assert_eq!(server.target(&slash), format!("https://a.example/base/{path}"));
    }

    #[test]
    fn a_normalized_host_is_unchanged(authority in ".{0,30}") {
        host(&authority);
    }
}

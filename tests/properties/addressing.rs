//! Targets of requests: every request is sent to a configured server.

use proptest::prelude::*;
use tunnel_balancer_core::{ServerUrl, host};
use tunnel_balancer_properties::{address, host, target};

/// Generates paths as browsers and attackers write them: slashes, backslashes, dots, colons, at
/// signs and arbitrary characters.
fn path() -> impl Strategy<Value = String> {
    prop_oneof![
        r#"[/\\@:.?#%a-z0-9 \t\r\n\[\]]{0,24}"#,
        r"(/|//|/\\|\\\\|/@|/%2f|/\.\./|http://|https:)?evil\.example[/:@a-z0-9]{0,8}",
        ".{0,24}",
    ]
}

/// Generates addresses of servers, and strings that differ from one in some places.
fn address_of_a_server() -> impl Strategy<Value = String> {
    let host = concat!(
        r"(\[[0-9a-f:.]{0,12}\]|[A-Za-z0-9._-]{0,8}|.{0,6}|(XN--)?[a-z\u{e4}-\u{fc}]{1,5}",
        r"|(0x?)?[0-9a-f]{1,9}(\.[0-9]{1,3}){0,4})",
    );
    let pieces = [
        r"(https?|HTTP|ftp|1)?(:|:/|://|:///|:\\\\)?",
        r"(user(:password)?@)?",
        host,
        r"(\.|\u{3002})?(:[0-9]{0,6})?",
        r"([/\\](\.\.?|%2[eE]|%2e\.|[a-z .]{0,3}|.{0,3})){0,5}",
        r"[?#]?",
    ];
    pieces.to_vec().prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn addresses_of_servers_are_parsed_by_the_url_standard(text in address_of_a_server()) {
        address(&text);
    }

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

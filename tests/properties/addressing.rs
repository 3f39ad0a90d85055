//! Where requests go: never anywhere but to a configured server.

use proptest::prelude::*;
use tunnel_balancer_core::{ServerUrl, route};
use url::Url;

/// Paths as browsers and attackers write them: slashes, backslashes, dots, colons, at signs and anything else.
fn path() -> impl Strategy<Value = String> {
    prop_oneof![
        r#"[/\\@:.?#%a-z0-9 \t\r\n\[\]]{0,24}"#,
        r"(/|//|/\\|\\\\|/@|/%2f|/\.\./|http://|https:)?evil\.example[/:@a-z0-9]{0,8}",
        ".{0,24}",
    ]
}

fn server() -> impl Strategy<Value = String> {
    prop::sample::select(vec![
        "chat-a.example.com",
        "https://chat-a.example.com:8443/base/",
        "http://127.0.0.1:8080",
        "http://[::1]:8080/a/b",
        "bücher.example",
    ])
    .prop_map(str::to_owned)
}

proptest! {
    #[test]
    fn hdr_11_no_path_changes_the_host(server in server(), path in path()) {
        let server: ServerUrl = server.parse().unwrap();
        let target = server.target(&path);
        prop_assert!(server.covers(&target), "{target}");
        let as_fetch_reads_it = Url::parse(&target).unwrap();
        let authority = as_fetch_reads_it.host_str().unwrap().to_owned()
            + &as_fetch_reads_it.port().map_or_else(String::new, |port| format!(":{port}"));
        prop_assert_eq!(authority, server.authority());
        prop_assert_eq!(as_fetch_reads_it.scheme(), server.scheme());
        prop_assert_eq!(as_fetch_reads_it.username(), "");
    }

    #[test]
    fn the_path_arrives_byte_for_byte(path in path()) {
        let (url, slash) = (format!("https://svc.example/{path}"), format!("/{path}"));
        prop_assert_eq!(route::split_url(&url), Some(("https", "svc.example", slash.as_str())));
        let server: ServerUrl = "a.example/base".parse().unwrap();
        prop_assert_eq!(server.target(&slash), format!("https://a.example/base/{path}"));
    }

    #[test]
    fn a_normal_host_stays_as_it_is(authority in ".{0,30}") {
        if let Some(host) = route::normal_host(&authority) {
            prop_assert!(!host.contains(['/', '\\', '@', '?', '#', ' ']), "{host}");
            // `a..` loses one dot at a time: the only thing left to normalise.
            if !host.split(':').next().unwrap_or_default().ends_with('.') {
                prop_assert_eq!(route::normal_host(&host), Some(host));
            }
        }
    }
}

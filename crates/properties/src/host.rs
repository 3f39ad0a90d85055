//! Hosts as clients write them.

use tunnel_balancer_core::host;

pub(crate) const SEEDS: &[&str] = &[
    "SVC.Example.COM.",
    "svc.example.com:443",
    "svc.example.com.:80",
    "svc.example.com:",
    "svc.example.com:8443",
    "[::1]:8787",
    "[::1]",
    "svc.example.com..",
    "",
    ".",
    "..",
    "user@svc.example.com",
    "svc.example.com:port",
    "svc.example.com:99999",
    "svc.example.com:08443",
    "svc example",
    "a:b:80",
    "[::1",
    "b\u{fc}cher.example",
    "\u{130}.example",
];

/// Checks that normalization is idempotent, ignores case, and leaves no character that ends the
/// host of a URL.
pub fn host(authority: &str) {
    let Some(normal) = host::normalize_host(authority) else { return };
    assert!(!normal.is_empty() && !normal.contains(['/', '\\', '@', '?', '#', '%', ' ']), "{authority:?}: {normal:?}");
    assert_eq!(host::normalize_host(&normal).as_ref(), Some(&normal), "{authority:?}");
    let url = format!("https://{normal}/x");
    assert_eq!(host::split_url(&url), Some(("https", normal.as_str(), "/x")));
    assert_eq!(host::normalize_host(&authority.to_ascii_uppercase()), Some(normal), "{authority:?}: the case matters");
}

//! IDs of tunnels, which are UUIDs.

/// Returns whether a string is the ID of a tunnel, and not its name or a hostname.
///
/// ```
/// use tunnel_balancer_config::is_tunnel_id;
///
/// assert!(is_tunnel_id("6ff42ae2-765d-4adf-8112-31c55c1551ef"));
/// assert!(!is_tunnel_id("home"));
/// ```
pub fn is_tunnel_id(text: &str) -> bool {
    let lengths = text.split('-').map(str::len);
    lengths.eq([8, 4, 4, 4, 12]) && text.bytes().all(|b| b == b'-' || b.is_ascii_hexdigit())
}

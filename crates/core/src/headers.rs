//! The headers that the balancer sets, replaces and keeps to itself.
//!
//! A server believes what `X-Forwarded-*` says, so a client must not be able to write it; and a header of ours must mean
//! what we mean by it, so neither side's copy is passed on.

/// Says which server answered. Set on responses; a client's or server's copy is never passed on.
pub const SERVED_BY: &str = "x-served-by";

/// Set on requests to servers and on probes. A request that arrives with it has come round in a circle.
pub const HOP: &str = "x-tunnel-balancer-hop";

/// Set to `fallback` on a response of a server that was not thought usable, for want of a better one.
pub const BALANCER: &str = "x-tunnel-balancer";

/// The value of [`SERVED_BY`] on answers that are our own.
pub const SERVED_BY_US: &str = "tunnel-balancer";

/// The `User-Agent` of probes, by which they are found in a server's log.
pub const PROBE_USER_AGENT: &str = concat!("tunnel-balancer/", env!("CARGO_PKG_VERSION"), " (health check)");

/// Headers of the client that no server gets to see.
///
/// Besides our own: `Forwarded` says the same as the headers we set, in the client's words; `Proxy` becomes the environment
/// variable `HTTP_PROXY` of CGI programs ("httpoxy", CVE-2016-5385).
pub const NOT_PASSED_ON: [&str; 4] = [SERVED_BY, BALANCER, "forwarded", "proxy"];

/// What a server is told about the client: name and value, `None` where the header is to be removed.
///
/// `host` is the public host as the client wrote it, `scheme` the one it used, `client_ip` its address where it is known.
pub const fn forwarded<'a>(
    host: &'a str,
    scheme: &'a str,
    client_ip: Option<&'a str>,
) -> [(&'static str, Option<&'a str>); 4] {
    [
        ("x-forwarded-host", Some(host)),
        ("x-forwarded-proto", Some(scheme)),
        ("x-forwarded-for", client_ip),
        ("x-real-ip", client_ip),
    ]
}

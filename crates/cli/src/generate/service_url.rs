//! Where the application behind a hostname listens.

use tunnel_balancer_config::{IngressTarget, ingress_target, redact_urls};
use tunnel_balancer_core::ServerUrl;

use crate::cloudflared::TunnelHost;

/// The value of `--service-url`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ServiceUrl {
    /// A server or a public host. `None`: all others.
    host: Option<String>,
    url: String,
}

/// Parses `[HOST=]URL`.
pub(super) fn service_url(text: &str) -> Result<ServiceUrl, String> {
    let (host, url) = match text.split_once('=') {
        Some((host, url)) if !host.contains([':', '/']) => (Some(host.to_ascii_lowercase()), url),
        _ => (None, text),
    };
    match ingress_target(url)? {
        IngressTarget::Application => Ok(ServiceUrl { host, url: url.to_owned() }),
        _ => Err(format!("expected an HTTP service such as http://localhost:8080, found {}", redact_urls(url))),
    }
}

/// Checks that each option is for a host of the map.
pub(super) fn check_hosts(urls: &[ServiceUrl], hosts: &[TunnelHost], file: &str) -> Result<(), String> {
    let is_known = |name: &String| hosts.iter().any(|host| is_for(name, host));
    match urls.iter().filter_map(|url| url.host.as_ref()).find(|name| !is_known(name)) {
        Some(name) => Err(format!("error: --service-url {name}: {file} has no such server or public host")),
        None => Ok(()),
    }
}

/// Returns the URL given for a server or its public host.
pub(super) fn given_for<'u>(urls: &'u [ServiceUrl], host: &TunnelHost) -> Option<&'u str> {
    let server = urls.iter().find(|url| url.host.as_ref() == Some(&host.host));
    let public = || urls.iter().find(|url| url.host.as_ref().is_some_and(|name| is_for(name, host)));
    server.or_else(public).map(|url| url.url.as_str())
}

/// Returns the URL given for all other servers.
pub(super) fn given_for_all(urls: &[ServiceUrl]) -> Option<&str> {
    urls.iter().find(|url| url.host.is_none()).map(|url| url.url.as_str())
}

/// Returns the URL that `import` wrote as a comment behind a server: `# cloudflared: URL`.
pub(super) fn remembered<'s>(services_yaml: &'s str, host: &str) -> Option<&'s str> {
    services_yaml.lines().find_map(|line| {
        let (before, comment) = line.split_once(&format!(" {REMEMBERED}"))?;
        let server = before.trim().trim_start_matches('-').trim_start().trim_start_matches("url:").trim();
        let server: ServerUrl = server.trim_matches(['"', '\'']).parse().ok()?;
        let service = comment.split_whitespace().next().filter(|service| !service.contains('*'))?;
        let is_application = ingress_target(service) == Ok(IngressTarget::Application);
        (server.authority() == host && is_application).then_some(service)
    })
}

/// The start of such a comment.
pub(crate) const REMEMBERED: &str = "# cloudflared: ";

fn is_for(name: &str, host: &TunnelHost) -> bool {
    host.host == name || host.public.contains(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_parsed() {
        let parsed = |text| service_url(text).map(|url| (url.host, url.url));
        let of = |host: Option<&str>, url: &str| Ok((host.map(str::to_owned), url.to_owned()));
        assert_eq!(parsed("http://localhost:3000"), of(None, "http://localhost:3000"));
        assert_eq!(parsed("Chat.example.com=https://nas"), of(Some("chat.example.com"), "https://nas"));
        assert_eq!(parsed("chat-a.example.com=unix:/run/a=b"), of(Some("chat-a.example.com"), "unix:/run/a=b"));
        for text in ["localhost:80", "a=b", "http://localhost/x", "a=ssh://localhost", "http_status:404", ""] {
            assert!(service_url(text).is_err(), "{text}");
        }
    }

    #[test]
    fn comments_are_read_behind_the_server() {
        let yaml = "services:
  chat.example.com:
    servers:
      - chat-a.example.com # cloudflared: http://localhost:8080 (home.yml:5)
      - url: \"https://chat-b.example.com/x\" # cloudflared: unix:/run/chat
      - chat-c.example.com # cloudflared: http://****@localhost
      - chat-d.example.com # cloudflared: ssh://localhost
";
        let table = [
            ("chat-a.example.com", Some("http://localhost:8080")),
            ("chat-b.example.com", Some("unix:/run/chat")),
            ("chat-c.example.com", None),
            ("chat-d.example.com", None),
            ("chat.example.com", None),
        ];
        for (host, expected) in table {
            assert_eq!(remembered(yaml, host), expected, "{host}");
        }
    }
}

//! cloudflared's `config.yml`, as far as it says which hostnames a tunnel serves.
//!
//! Read by the reader of `services.yaml`, so that mistakes are told in the same way, with line and
//! column. Keys that have nothing to do with it are passed over: that file is cloudflared's, and
//! not ours to check.

use tunnel_balancer_core::ServerUrl;

use crate::diagnostic::Errors;
use crate::mask::masked_urls;
use crate::node::{NodeId, Value};
use crate::problem::Problem;
use crate::reader::{Field, Map, quotable_text};
use crate::secret::Secrets;

/// What a tunnel serves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ingress {
    /// The tunnel's name or ID, where it is written.
    pub tunnel: Option<String>,
    /// The rules, in order: the first that matches a request decides.
    pub rules: Vec<IngressRule>,
}

/// Where requests for a hostname go.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct IngressRule {
    /// The hostname, perhaps with `*.` in front; `None`: any.
    pub hostname: Option<String>,
    /// A regular expression that paths must match; `None`: any path.
    pub path: Option<String>,
    /// What answers, such as `http://localhost:8080` or `http_status:404`.
    pub service: String,
    /// The `Host` that the application gets in place of the client's.
    pub http_host_header: Option<String>,
    at: NodeId,
}

/// What answers the requests of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IngressTarget {
    /// An application that speaks HTTP.
    Application,
    /// A status, from cloudflared itself.
    Status,
    /// Something else, such as a server for SSH.
    Other,
}

impl IngressRule {
    /// Whether requests for `host` are meant, on some path at least.
    pub fn is_for(&self, host: &str) -> bool {
        let host = host.to_ascii_lowercase();
        match self.hostname.as_deref().map(in_ascii) {
            None => true,
            // `*.example.com` means all that ends like this, however deep.
            Some(hostname) => match hostname.strip_prefix('*') {
                Some(end) if end.starts_with('.') => host.ends_with(end),
                _ => host == hostname,
            },
        }
    }

    /// What answers.
    pub fn target(&self) -> IngressTarget {
        const APPLICATIONS: [&str; 8] =
            ["http://", "https://", "ws://", "wss://", "unix:", "unix+tls:", "hello_world", "hello-world"];
        if self.service.starts_with(STATUS) {
            IngressTarget::Status
        } else if APPLICATIONS.iter().any(|start| self.service.starts_with(start)) {
            IngressTarget::Application
        } else {
            IngressTarget::Other
        }
    }

    /// Why cloudflared does not start with this rule, by what it checks itself (`validateIngress`
    /// in its `ingress.go`); regular expressions are left to it.
    pub fn validate(&self) -> Option<String> {
        if let Some(hostname) = &self.hostname {
            if hostname.rfind('*').is_some_and(|at| at > 0) {
                return Some(format!("{hostname} has a `*` that is not at its beginning"));
            }
            if hostname.contains(':') {
                return Some(format!("{hostname} has a port, which hostnames do not have here"));
            }
        }
        if let Some(status) = self.service.strip_prefix(STATUS) {
            let is_status = status.parse().is_ok_and(|status| (100..=999).contains(&status));
            return (!is_status).then(|| format!("{} is no status", self.service));
        }
        const WORDS: [&str; 4] = ["hello_world", "hello-world", "socks-proxy", "bastion"];
        if self.service.starts_with("unix:") || self.service.starts_with("unix+tls:") || WORDS.contains(&&*self.service)
        {
            return None;
        }
        let shown = masked_urls(&self.service);
        match self.service.split_once("://") {
            Some((scheme, rest)) if !scheme.is_empty() && !rest.is_empty() && !rest.starts_with(['/', ':', '?']) => {
                rest.contains('/').then(|| format!("{shown} has a path, and a service has none"))
            }
            _ => Some(format!("the service {shown:?} needs a scheme and a host, as in http://localhost:8080")),
        }
    }

    /// Whether it matches every request, as the last rule must.
    pub const fn is_catch_all(&self) -> bool {
        self.hostname.is_none() && self.path.is_none()
    }

    /// The line on which the rule begins in `yaml`, the text that it was read from.
    pub fn line(&self, yaml: &str) -> usize {
        crate::yaml::positions(yaml, std::iter::once(self.at)).get(&self.at).map_or(1, |at| at.line)
    }
}

/// Reads the ingress rules of cloudflared's `config.yml`.
///
/// # Errors
/// With every mistake in what is read of it; above all when there are no rules.
///
/// ```
/// use tunnel_balancer_config::parse_ingress;
///
/// let yaml = "
/// tunnel: home
/// ingress:
///   - hostname: chat-a.example.com
///     service: http://localhost:8080
///   - service: http_status:404
/// ";
/// let ingress = parse_ingress(yaml)?;
/// assert!(ingress.rules[0].is_for("chat-a.example.com"));
/// assert_eq!(ingress.rules[0].line(yaml), 4);
/// assert!(ingress.rules[1].is_catch_all());
/// # Ok::<(), tunnel_balancer_config::Errors>(())
/// ```
pub fn parse_ingress(yaml: &str) -> Result<Ingress, Errors> {
    let (ingress, _) = crate::document(yaml, &Secrets::new(None), read)?;
    // Without rules there is a problem.
    Ok(ingress.unwrap_or_default())
}

fn read(root: Field<'_>) -> Option<Ingress> {
    let mut map = root.map("cloudflared's configuration: a map with the key `ingress`")?;
    let hint = "a tunnel that is configured in the dashboard has its rules there, and its file has none";
    let rules = map.require("ingress", hint);
    let tunnel = map.take("tunnel").and_then(|field| field.read(text));
    let header = host_header(&mut map);
    let rules = rules?;
    let Value::List(_) = rules.value() else {
        rules.report(Problem::wrong_type("a list of rules", rules.value()));
        return None;
    };
    let rules = rules.one_or_many().into_iter().filter_map(|field| rule(field, header.as_deref())).collect();
    Some(Ingress { tunnel, rules })
}

fn rule(field: Field<'_>, default_header: Option<&str>) -> Option<IngressRule> {
    let mut map = field.map("a rule: a map with the key `service`")?;
    let service = map.require("service", "write where the application listens: `service: http://localhost:8080`");
    let mut optional = |name| map.take(name).filter(|field| !matches!(field.value(), Value::Null));
    let (hostname, path) = (optional("hostname"), optional("path"));
    let header = host_header(&mut map);
    let filled = |field: Option<Field<'_>>| field.and_then(|field| field.read(text)).filter(|text| !text.is_empty());
    Some(IngressRule {
        hostname: filled(hostname).filter(|hostname| hostname != "*"),
        path: filled(path),
        service: service?.read(text)?,
        http_host_header: header.or_else(|| default_header.map(str::to_owned)),
        at: field.node().id,
    })
}

/// How a service begins that is a status.
const STATUS: &str = "http_status:";

/// The form in which requests name a host.
fn in_ascii(hostname: &str) -> String {
    let ascii = if hostname.is_ascii() { None } else { hostname.parse().ok() };
    ascii.map_or_else(|| hostname.to_ascii_lowercase(), |url: ServerUrl| url.authority().to_owned())
}

fn host_header(map: &mut Map<'_>) -> Option<String> {
    let mut settings = map.take("originRequest").filter(|field| !matches!(field.value(), Value::Null))?.map("a map")?;
    settings.take("httpHostHeader")?.read(text).filter(|text| !text.is_empty())
}

fn text(value: &Value<'_>) -> Result<String, Problem> {
    quotable_text(value, "a text").map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "tunnel: 6ff42ae2-765d-4adf-8112-31c55c1551ef
credentials-file: /root/.cloudflared/6ff42ae2-765d-4adf-8112-31c55c1551ef.json
originRequest: { connectTimeout: 30s, httpHostHeader: all.example.com }
ingress:
  - hostname: Chat-A.example.com
    service: http://localhost:8080
    originRequest:
      httpHostHeader: chat.example.com
  - hostname: \"*.static.example.com\"
    path: \\.(jpg|png)$
    service: https://localhost:8443
    originRequest: { noTLSVerify: true }
  - hostname: \"*\"
    service: http_status:404
";

    #[test]
    fn rules_are_read_with_what_holds_for_all() {
        let Ingress { tunnel, rules } = parse_ingress(FILE).unwrap();
        assert_eq!(tunnel.as_deref(), Some("6ff42ae2-765d-4adf-8112-31c55c1551ef"));
        let [chat, images, rest] = &rules[..] else { panic!("{rules:?}") };
        assert_eq!(
            (chat.service.as_str(), chat.http_host_header.as_deref()),
            ("http://localhost:8080", Some("chat.example.com"))
        );
        assert_eq!(
            (images.path.as_deref(), images.http_host_header.as_deref()),
            (Some("\\.(jpg|png)$"), Some("all.example.com"))
        );
        assert!(rest.is_catch_all() && !images.is_catch_all());
        assert_eq!(rules.iter().map(|rule| rule.line(FILE)).collect::<Vec<_>>(), [5, 9, 13]);
        let for_which = |host| rules.iter().map(|rule| rule.is_for(host)).collect::<Vec<_>>();
        assert_eq!(for_which("chat-a.Example.com"), [true, false, true]);
        assert_eq!(for_which("a.b.static.example.com"), [false, true, true]);
        assert_eq!(for_which("static.example.com"), [false, false, true]);
    }

    #[test]
    fn hostnames_are_those_that_requests_name() {
        let is_for = |hostname: &str, host: &str| {
            let yaml = format!("ingress: [{{ hostname: '{hostname}', service: http://localhost:80 }}]");
            parse_ingress(&yaml).unwrap().rules[0].is_for(host)
        };
        assert!(is_for("bücher.example.com", "xn--bcher-kva.example.com"));
        assert!(!is_for("bücher.example.com", "bucher.example.com"));
        assert!(is_for("CHAT.example.com", "chat.example.com"));
    }

    #[test]
    fn rules_that_cloudflared_rejects_are_invalid() {
        let validate = |hostname: &str, service: &str| {
            let yaml = format!("ingress: [{{ hostname: '{hostname}', service: '{service}' }}]");
            parse_ingress(&yaml).unwrap().rules[0].validate()
        };
        let sound = [
            "http://localhost:80",
            "https://[::1]:8443",
            "ssh://localhost:22",
            "unix:/run/app.sock",
            "http_status:404",
            "hello_world",
            "bastion",
        ];
        for service in sound {
            assert_eq!(validate("*.example.com", service), None, "{service}");
        }
        for service in
            ["localhost:8080", "http://", "http://:80", "http://localhost/", "http_status:x", "http_status:1"]
        {
            assert!(validate("a.example.com", service).is_some(), "{service}");
        }
        for hostname in ["a-*.example.com", "a.example.com:80"] {
            assert!(validate(hostname, "http://localhost:80").is_some(), "{hostname}");
        }
    }

    #[test]
    fn mistakes_are_told_with_their_place() {
        let table = [
            ("tunnel: home", "1:1: error[missing-key]: the key `ingress` is missing"),
            (
                "",
                "1:1: error[wrong-type]: expected cloudflared's configuration: a map with the key `ingress`, found nothing",
            ),
            ("ingress: {}", "1:10: error[wrong-type]: expected a list of rules, found a map at ingress"),
            (
                "ingress:\n- hostname: a.example.com",
                "2:3: error[missing-key]: the key `service` is missing at ingress[0]",
            ),
            (
                "ingress:\n- service: [x]",
                "2:12: error[wrong-type]: expected a text, found a list at ingress[0].service",
            ),
            ("ingress: [", "2:1: error[syntax]"),
        ];
        for (yaml, expected) in table {
            let told = parse_ingress(yaml).unwrap_err().to_string();
            assert!(told.starts_with(expected), "{yaml}: {told}");
        }
    }
}

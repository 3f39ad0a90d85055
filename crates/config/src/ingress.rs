//! cloudflared's `config.yml`, as far as it says which hostnames a tunnel serves.
//!
//! Read by the reader of `services.yaml`, so that mistakes are told in the same way, with line and column. Keys that have
//! nothing to do with it are passed over: that file is cloudflared's, and not ours to check.

use crate::diagnostic::Errors;
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

impl IngressRule {
    /// Whether requests for `host` are meant, on some path at least.
    pub fn is_for(&self, host: &str) -> bool {
        let host = host.to_ascii_lowercase();
        match self.hostname.as_deref().map(str::to_ascii_lowercase) {
            None => true,
            // `*.example.com` means all that ends like this, however deep.
            Some(hostname) => match hostname.strip_prefix('*') {
                Some(end) if end.starts_with('.') => host.ends_with(end),
                _ => host == hostname,
            },
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

//! What of a client's request the balancer looks at, and what it makes of the headers on the way there and back.
//!
//! All of it is decided here and edits the host's own headers in place ([`HeaderFields`]), so that a server and a client
//! see the same behind every host.

use http::Method;

use crate::cookie;
use crate::pool::Pool;
use crate::proxy::headers::{self, HeaderFields};
use crate::proxy::rewrite;
use crate::proxy::routes::RouteMatch;
use crate::retry::{Body, RequestMeta};
use crate::server::Server;
use crate::server_set::ServerId;
use crate::service::Policy;

/// A client's request, apart from its method, headers and body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxiedRequest {
    /// `https` or `http`, as the client came.
    pub scheme: String,
    /// Host and port as the client wrote them.
    pub authority: String,
    /// Path and query as the client wrote them.
    pub path_and_query: String,
    /// The client's address, where it is known.
    pub client_ip: Option<String>,
    /// The `Cookie` header, where the service has to do with cookies.
    cookies: Option<String>,
    sticky: Option<ServerId>,
}

impl ProxiedRequest {
    /// Takes down what is needed later: by then the host may have given the request away. `fields` are the client's.
    ///
    /// # Errors
    /// That of the fields.
    pub fn new<H: HeaderFields>(
        matched: RouteMatch<'_, '_>,
        fields: &H,
        client_ip: Option<String>,
    ) -> Result<Self, H::Error> {
        let with_cookies = matched.pool.service().affinity.is_some();
        let cookies = if with_cookies { fields.value("cookie")? } else { None };
        Ok(Self {
            scheme: matched.scheme.to_owned(),
            authority: matched.authority.to_owned(),
            path_and_query: matched.path_and_query.to_owned(),
            client_ip,
            sticky: cookies.as_deref().and_then(|cookies| matched.pool.affinity_server(cookies)),
            cookies,
        })
    }

    /// What an exchange has to know of the request. `fields` are the client's.
    ///
    /// # Errors
    /// That of the fields.
    pub fn meta<H: HeaderFields>(
        &self,
        pool: &Pool,
        method: Method,
        fields: &H,
        body: Body,
    ) -> Result<RequestMeta, H::Error> {
        let key = match &pool.service().policy {
            Policy::Hash(on) => {
                let header = |name: &str| fields.value(name).ok().flatten().map(Into::into);
                on.key(header, &self.path_and_query, self.client_ip.as_deref())
            }
            _ => 0,
        };
        Ok(RequestMeta {
            idempotency_key: fields.value("idempotency-key")?.is_some(),
            body,
            key,
            sticky: self.sticky,
            ..RequestMeta::new(method)
        })
    }

    /// Makes the client's header fields those that `server`, one of the pool's, gets.
    ///
    /// # Errors
    /// That of the fields.
    pub fn prepare_request<H: HeaderFields>(
        &self,
        fields: &mut H,
        pool: &Pool,
        server: &Server,
    ) -> Result<(), H::Error> {
        for name in headers::STRIPPED_REQUEST_HEADERS {
            fields.remove(name)?;
        }
        fields.set("x-forwarded-host", &self.authority)?;
        fields.set("x-forwarded-proto", &self.scheme)?;
        for name in ["x-forwarded-for", "x-real-ip"] {
            match &self.client_ip {
                Some(client_ip) => fields.set(name, client_ip)?,
                None => fields.remove(name)?,
            }
        }
        if let (Some(cookies), Some(affinity)) = (&self.cookies, &pool.service().affinity) {
            // The affinity cookie is between the client and us.
            match cookie::remove(cookies, &affinity.cookie) {
                Some(others) => fields.set("cookie", &others)?,
                None => fields.remove("cookie")?,
            }
        }
        // First all, then the server's own: a client must not send them, and another server's secret is not this one's.
        pool.service().server_header_names().try_for_each(|name| fields.remove(name))?;
        add_server_headers(fields, server)
    }

    /// Makes a server's header fields those that the client gets. `fallback` tells whether the server was asked for want of a
    /// better one.
    ///
    /// # Errors
    /// That of the fields.
    pub fn prepare_response<H: HeaderFields>(
        &self,
        fields: &mut H,
        pool: &Pool,
        served_by: ServerId,
        fallback: bool,
    ) -> Result<(), H::Error> {
        let service = pool.service();
        let Some(server) = service.server(served_by) else { return Ok(()) };
        if service.served_by_header {
            fields.set(headers::SERVED_BY, &server.name)?;
        } else {
            fields.remove(headers::SERVED_BY)?;
        }
        if fallback {
            fields.set(headers::FALLBACK_HEADER, "fallback")?;
        } else {
            fields.remove(headers::FALLBACK_HEADER)?;
        }
        for name in rewrite::LOCATION_HEADERS {
            let public = |value: &str| rewrite::location(value, &server.url, service, &self.scheme, &self.authority);
            fields.rewrite(name, public)?;
        }
        fields.rewrite("set-cookie", |value| rewrite::set_cookie(value, &server.url, service, &self.authority))?;
        match pool.affinity_cookie(served_by, self.sticky, self.scheme == "https") {
            Some(cookie) => fields.append("set-cookie", &cookie),
            None => Ok(()),
        }
    }
}

/// Sets what every request of ours to `server` carries, probes included.
///
/// # Errors
/// That of the fields.
pub fn add_server_headers<H: HeaderFields>(fields: &mut H, server: &Server) -> Result<(), H::Error> {
    server.headers.iter().try_for_each(|header| fields.set(&header.name, &header.value))?;
    fields.set(headers::LOOP_HEADER, "1")
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::*;
    use crate::proxy::routes::Services;
    use crate::server::ServerHeader;
    use crate::service::Affinity;
    use crate::service::Service;

    fn services() -> Services {
        let mut a = Server::new("a.example".parse().unwrap());
        a.headers.push(ServerHeader::new("CF-Access-Client-Secret", "of a"));
        let b = Server::new("b.example".parse().unwrap());
        let mut service = Service::new("app.test", vec![a, b]).unwrap();
        service.affinity = Some(Affinity::new("lb", *b"a key of this test"));
        Services::new([service], 1)
    }

    fn fields(lines: &[(&'static str, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in lines {
            map.append(*name, value.parse().unwrap());
        }
        map
    }

    fn lines(fields: &HeaderMap) -> Vec<String> {
        fields.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect()
    }

    #[test]
    fn hdr_04_to_06_a_server_gets_the_truth_about_the_client() {
        let services = services();
        let matched = services.route("https://app.test/x", false).unwrap();
        let mut sent = fields(&[
            ("accept", "*/*"),
            ("x-forwarded-for", "1.2.3.4"),
            ("x-forwarded-for", "5.6.7.8"),
            ("x-forwarded-host", "bank.test"),
            ("x-real-ip", "1.2.3.4"),
            ("forwarded", "for=1.2.3.4"),
            ("x-served-by", "me"),
            ("x-original-url", "/admin"),
            ("x-method-override", "DELETE"),
            ("x-forwarded-port", "1"),
            ("x-forwarded-prefix", "/admin"),
            ("cf-access-client-secret", "the client's"),
            ("cookie", "a=1; lb=0123; b=2"),
        ]);
        let inbound = ProxiedRequest::new(matched, &sent, Some("203.0.113.7".to_owned())).unwrap();
        let mut to_b = sent.clone();
        inbound.prepare_request(&mut to_b, matched.pool, &matched.pool.service().servers()[1]).unwrap();
        let mut expected = vec![
            "accept: */*",
            "x-forwarded-for: 203.0.113.7",
            "x-forwarded-host: app.test",
            "x-real-ip: 203.0.113.7",
            "cookie: a=1; b=2",
            "x-forwarded-proto: https",
            "x-tunnel-balancer-hop: 1",
        ];
        let mut seen = lines(&to_b);
        seen.sort();
        expected.sort_unstable();
        assert_eq!(seen, expected);
        inbound.prepare_request(&mut sent, matched.pool, &matched.pool.service().servers()[0]).unwrap();
        assert_eq!(sent["cf-access-client-secret"], "of a");
    }

    #[test]
    fn a_client_sees_its_own_host_and_who_answered() {
        let services = services();
        let matched = services.route("http://app.test:80/x", false).unwrap();
        let inbound = ProxiedRequest::new(matched, &HeaderMap::new(), None).unwrap();
        let mut sent = fields(&[
            ("location", "https://b.example/login"),
            ("set-cookie", "s=1; Domain=a.example"),
            ("set-cookie", "t=2"),
            ("x-served-by", "the server's own"),
            ("x-tunnel-balancer", "fallback"),
        ]);
        inbound.prepare_response(&mut sent, matched.pool, ServerId::new(0).unwrap(), false).unwrap();
        assert_eq!(sent["location"], "http://app.test:80/login");
        assert_eq!((&sent["x-served-by"], sent.get("x-tunnel-balancer")), (&"a".parse().unwrap(), None));
        let cookies: Vec<_> = sent.get_all("set-cookie").iter().map(|value| value.to_str().unwrap()).collect();
        assert_eq!(cookies[..2], ["s=1; Domain=app.test", "t=2"]);
        assert!(cookies[2].starts_with("lb=") && !cookies[2].contains("Secure"), "{cookies:?}");
    }
}

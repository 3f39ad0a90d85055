//! A client's request: what the balancer reads of it, and how headers change on the way to a server
//! and back.
//!
//! All of it is decided here and edits the host's own headers in place ([`HeaderFields`]), so that
//! servers and clients see the same behind every host.

use std::sync::Arc;

use http::Method;

use super::RequestId;
use super::headers::{self, HeaderFields};
use super::rewrite;
use super::routes::RouteMatch;
use crate::cookie;
use crate::pool::Pool;
use crate::retry::{Body, RequestMeta};
use crate::server_set::ServerId;
use crate::service::{HostHeader, Policy, Server, Service};

/// A client's request, apart from its method, headers and body, and the pool that serves it.
#[derive(Clone, Debug)]
pub struct ProxiedRequest {
    /// The pool of the service.
    pub pool: Arc<Pool>,
    /// `https` or `http`, as the client connected.
    pub scheme: String,
    /// Host and port as the client wrote them.
    pub authority: String,
    /// Path and query as the client wrote them.
    pub path_and_query: String,
    /// The client's address, where it is known.
    pub client_ip: Option<String>,
    /// The id of the request. `None`: the headers are not changed.
    id: Option<RequestId>,
    /// The `Cookie` header, with affinity.
    cookies: Option<String>,
    affinity_server: Option<ServerId>,
}

impl ProxiedRequest {
    /// Reads what is needed later, when the host may have moved the request. `fields` are the
    /// client's.
    ///
    /// # Errors
    /// Those of the fields.
    pub fn new<H: HeaderFields>(
        matched: RouteMatch<'_, '_>,
        fields: &H,
        client_ip: Option<String>,
    ) -> Result<Self, H::Error> {
        let with_cookies = matched.pool.service().affinity.is_some();
        let cookies = if with_cookies { fields.get("cookie")? } else { None };
        Ok(Self {
            pool: Arc::clone(matched.pool),
            scheme: matched.scheme.to_owned(),
            authority: matched.authority.to_owned(),
            path_and_query: matched.path_and_query.to_owned(),
            client_ip,
            id: None,
            affinity_server: cookies.as_deref().and_then(|cookies| matched.pool.affinity_server(cookies)),
            cookies,
        })
    }

    /// Sets the id, which servers and the client get as `X-Request-Id`.
    #[must_use]
    pub fn with_id(self, id: RequestId) -> Self {
        Self { id: Some(id), ..self }
    }

    /// Returns the id, if it is set.
    pub const fn id(&self) -> Option<&RequestId> {
        self.id.as_ref()
    }

    /// Returns the configuration of the service.
    pub fn service(&self) -> &Service {
        self.pool.service()
    }

    /// Returns the data of the request that an exchange needs. `fields` are the client's; `upgrade`
    /// is whether it requests another protocol.
    ///
    /// # Errors
    /// Those of the fields.
    pub fn meta<H: HeaderFields>(
        &self,
        method: Method,
        fields: &H,
        body: Body,
        upgrade: bool,
    ) -> Result<RequestMeta, H::Error> {
        let hash_key = match &self.service().policy {
            Policy::Hash(on) => {
                let header = |name: &str| {
                    // HTTP/2 has no such field, and hosts may have removed it.
                    if name.eq_ignore_ascii_case("host") {
                        return Some(self.authority.to_ascii_lowercase().into());
                    }
                    fields.get(name).ok().flatten().map(Into::into)
                };
                on.key(header, &self.path_and_query, self.client_ip.as_deref())
            }
            _ => 0,
        };
        Ok(RequestMeta {
            idempotency_key: fields.get("idempotency-key")?.is_some(),
            upgrade,
            body,
            hash_key,
            affinity_server: self.affinity_server,
            ..RequestMeta::new(method)
        })
    }

    /// Returns the URL of the request to `server`; `None` if it would leave the server.
    pub fn target(&self, server: &Server) -> Option<String> {
        let target = server.url.target(self.service().server_path(&self.path_and_query));
        server.url.matches(&target).then_some(target)
    }

    /// Turns the client's header fields into those that `server`, one of the pool's, gets.
    ///
    /// # Errors
    /// Those of the fields.
    pub fn prepare_request<H: HeaderFields>(&self, fields: &mut H, server: &Server) -> Result<(), H::Error> {
        // The headers of all servers: a client must not send them, and each server has its own
        // secret.
        let is_secret =
            |name: &str| self.service().server_header_names().any(|own| headers::is_same_variable(own, name));
        let client_ip = self.client_ip.as_deref();
        let replaced = [
            ("x-forwarded-host", Some(self.authority.as_str())),
            ("x-forwarded-proto", Some(self.scheme.as_str())),
            ("x-forwarded-for", client_ip),
            ("x-real-ip", client_ip),
            (headers::REQUEST_ID, self.id.as_ref().map(RequestId::as_str)),
            (headers::LOOP_HEADER, Some("1")),
        ];
        let is_replaced = |name: &str| replaced.iter().any(|(own, value)| *own == name && value.is_some());
        fields.remove_if(|name| headers::is_stripped(name, is_secret) && !is_replaced(name))?;
        for (name, value) in replaced {
            value.map_or(Ok(()), |value| fields.set(name, value))?;
        }
        let to_server = |url: &str| rewrite::destination(url, server, self.service(), &self.authority);
        fields.rewrite("destination", to_server)?;
        fields.rewrite("if", |value| rewrite::bracketed(value, to_server))?;
        if let (Some(cookies), Some(affinity)) = (&self.cookies, &self.service().affinity) {
            // The affinity cookie is between the client and the balancer.
            match cookie::remove(cookies, &affinity.cookie) {
                Some(others) => fields.set("cookie", &others)?,
                None => fields.remove("cookie")?,
            }
        }
        match &server.host_header {
            HostHeader::Server => {}
            HostHeader::Public => fields.set("host", &self.authority)?,
            HostHeader::Name(name) => fields.set("host", name)?,
        }
        server.headers.iter().try_for_each(|header| fields.set(&header.name, &header.value))
    }

    /// Turns a server's header fields into those that the client gets, without hop-by-hop ones.
    /// `last_resort` is whether the server was unavailable and was tried because none was
    /// available.
    ///
    /// # Errors
    /// Those of the fields.
    pub fn prepare_response<H: HeaderFields>(
        &self,
        fields: &mut H,
        served_by: ServerId,
        last_resort: bool,
    ) -> Result<(), H::Error> {
        let service = self.service();
        let Some(server) = service.server(served_by) else { return Ok(()) };
        headers::remove_hop_by_hop(fields)?;
        fields.remove_if(|name| headers::RESPONSE_HEADERS.contains(&name))?;
        if let Some(id) = &self.id {
            fields.set(headers::REQUEST_ID, id.as_str())?;
        }
        if service.served_by_header {
            fields.set(headers::SERVED_BY, &server.name)?;
        }
        if last_resort {
            fields.set(headers::FALLBACK_HEADER, "fallback")?;
        }
        let public = |url: &str| rewrite::location(url, &server.url, service, &self.scheme, &self.authority);
        for name in rewrite::LOCATION_HEADERS {
            fields.rewrite(name, public)?;
        }
        fields.rewrite("refresh", |value| rewrite::refresh(value, public))?;
        fields.rewrite("link", |value| rewrite::bracketed(value, public))?;
        fields.rewrite("set-cookie", |value| rewrite::set_cookie(value, &server.url, service, &self.authority))?;
        match self.pool.affinity_cookie(served_by, self.affinity_server, self.scheme == "https") {
            Some(cookie) => fields.append("set-cookie", &cookie),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::*;
    use crate::proxy::routes::Services;
    use crate::service::Affinity;
    use crate::service::ServerHeader;
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
    fn hdr_04_hdr_05_hdr_06_forwarded_headers_describe_the_client() {
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
            ("x-balancer-trace", "the token"),
            ("x_balancer_drill", "t=1"),
            ("x-original-url", "/admin"),
            ("x-method-override", "DELETE"),
            ("x-forwarded-port", "1"),
            ("x-forwarded-prefix", "/admin"),
            ("x-request-id", "the client's"),
            ("cf-access-client-secret", "the client's"),
            ("cookie", "a=1; lb=0123; b=2"),
        ]);
        let id = RequestId::random(0xabc);
        let request = ProxiedRequest::new(matched, &sent, Some("203.0.113.7".to_owned())).unwrap().with_id(id);
        let mut to_b = sent.clone();
        request.prepare_request(&mut to_b, &matched.pool.service().servers()[1]).unwrap();
        let mut expected = vec![
            "accept: */*",
            "x-forwarded-for: 203.0.113.7",
            "x-forwarded-host: app.test",
            "x-real-ip: 203.0.113.7",
            "cookie: a=1; b=2",
            "x-forwarded-proto: https",
            "x-request-id: 0000000000000abc",
            "x-tunnel-balancer-hop: 1",
        ];
        let mut seen = lines(&to_b);
        seen.sort();
        expected.sort_unstable();
        assert_eq!(seen, expected);
        request.prepare_request(&mut sent, &matched.pool.service().servers()[0]).unwrap();
        assert_eq!(sent["cf-access-client-secret"], "of a");
    }

    #[test]
    fn a_response_names_the_public_host_and_the_server() {
        let services = services();
        let matched = services.route("http://app.test:80/x", false).unwrap();
        let request = ProxiedRequest::new(matched, &HeaderMap::new(), None).unwrap().with_id(RequestId::random(0xabc));
        let mut sent = fields(&[
            ("location", "https://b.example/login"),
            ("x-request-id", "the server's own"),
            ("set-cookie", "s=1; Domain=a.example"),
            ("set-cookie", "t=2"),
            ("x-served-by", "the server's own"),
            ("x-balancer-trace", "the server's own"),
            ("x-balancer-drill", "the server's own"),
            ("x-tunnel-balancer", "fallback"),
        ]);
        request.prepare_response(&mut sent, ServerId::new(0).unwrap(), false).unwrap();
        assert_eq!(sent["location"], "http://app.test:80/login");
        assert_eq!((&sent["x-served-by"], sent.get("x-tunnel-balancer")), (&"a".parse().unwrap(), None));
        assert_eq!(sent["x-request-id"], "0000000000000abc");
        assert!(!sent.contains_key("x-balancer-trace") && !sent.contains_key("x-balancer-drill"));
        let cookies: Vec<_> = sent.get_all("set-cookie").iter().map(|value| value.to_str().unwrap()).collect();
        assert_eq!(cookies[..2], ["s=1; Domain=app.test", "t=2"]);
        assert!(cookies[2].starts_with("lb=") && !cookies[2].contains("Secure"), "{cookies:?}");
    }
}

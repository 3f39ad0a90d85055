//! The headers that hosts need not read, where a read costs more than the rules that it is for.

/// Headers of many requests that the balancer neither reads nor changes, unless a service
/// [names](crate::Service::named_headers) them. Hosts need not read them.
#[rustfmt::skip]
pub const UNREAD_REQUEST_HEADERS: [&str; 34] = [
    "accept-charset", "accept-encoding", "accept-language", "authorization", "cache-control",
    "cdn-loop", "cf-ipcountry", "cf-visitor", "content-encoding", "content-type", "cookie", "dnt",
    "host", "if-match", "if-modified-since", "if-none-match", "if-range", "if-unmodified-since",
    "origin", "pragma", "priority", "range", "referer", "sec-ch-ua", "sec-ch-ua-mobile",
    "sec-ch-ua-platform", "sec-fetch-dest", "sec-fetch-mode", "sec-fetch-site", "sec-fetch-user",
    "sec-gpc", "upgrade-insecure-requests", "user-agent", "x-requested-with",
];

/// The same of responses.
#[rustfmt::skip]
pub const UNREAD_RESPONSE_HEADERS: [&str; 27] = [
    "accept-ranges", "access-control-allow-credentials", "access-control-allow-origin", "age",
    "cache-control", "cf-cache-status", "cf-ray", "content-disposition", "content-encoding",
    "content-language", "content-length", "content-range", "content-security-policy",
    "content-type", "date", "etag", "expires", "last-modified", "nel", "permissions-policy",
    "pragma", "referrer-policy", "report-to", "server", "strict-transport-security", "vary",
    "x-content-type-options",
];

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::collections::BTreeSet;
    use std::convert::Infallible;

    use http::Method;

    use super::*;
    use crate::proxy::ProxiedRequest;
    use crate::proxy::headers::{self, HeaderFields};
    use crate::proxy::routes::Services;
    use crate::retry::Body;
    use crate::server_set::ServerId;
    use crate::service::{HashOn, Policy, Server, ServerHeader, Service};

    /// The names that are read or changed, among those that hosts need not read.
    #[derive(Default)]
    struct Touched(RefCell<BTreeSet<String>>);

    impl Touched {
        fn touch(&self, name: &str) {
            let unread = UNREAD_REQUEST_HEADERS.iter().chain(&UNREAD_RESPONSE_HEADERS);
            self.0.borrow_mut().extend(unread.filter(|unread| **unread == name).map(|name| (*name).to_owned()));
        }
    }

    impl HeaderFields for Touched {
        type Error = Infallible;

        fn get(&self, name: &str) -> Result<Option<String>, Self::Error> {
            self.touch(name);
            Ok(None)
        }

        fn set(&mut self, name: &str, _: &str) -> Result<(), Self::Error> {
            self.touch(name);
            Ok(())
        }

        fn append(&mut self, name: &str, value: &str) -> Result<(), Self::Error> {
            self.set(name, value)
        }

        fn remove(&mut self, name: &str) -> Result<(), Self::Error> {
            self.touch(name);
            Ok(())
        }

        fn remove_if(&mut self, is_removed: impl Fn(&str) -> bool) -> Result<(), Self::Error> {
            let unread = UNREAD_REQUEST_HEADERS.iter().chain(&UNREAD_RESPONSE_HEADERS);
            unread.filter(|name| is_removed(name)).for_each(|name| self.touch(name));
            Ok(())
        }

        fn rewrite(&mut self, name: &str, _: impl Fn(&str) -> Option<String>) -> Result<(), Self::Error> {
            self.touch(name);
            Ok(())
        }
    }

    /// Returns what a request to a service touches.
    fn touched(service: Service) -> Vec<String> {
        let services = Services::new([service], 1);
        let matched = services.route("https://app.test/", false).unwrap();
        let mut fields = Touched::default();
        let Ok(request) = ProxiedRequest::new(matched, &fields, Some("203.0.113.7".to_owned()));
        let Ok(_) = request.meta(Method::POST, &fields, Body::Once, false);
        let Ok(()) = headers::remove_hop_by_hop(&mut fields);
        let Ok(()) = fields.remove_if(headers::is_client_address);
        let Ok(()) = request.prepare_request(&mut fields, &matched.pool.service().servers()[0]);
        let Ok(()) = request.prepare_response(&mut fields, ServerId::new(0).unwrap(), true);
        fields.0.into_inner().into_iter().collect()
    }

    #[test]
    fn only_named_headers_are_read_of_those_that_hosts_need_not_read() {
        let mut server = Server::new("a.example".parse().unwrap());
        let service = |server: &Server| Service::new("app.test", vec![server.clone()]).unwrap();
        assert_eq!(touched(service(&server)), [""; 0]);
        server.headers.push(ServerHeader::new("Authorization", "x"));
        let mut named = service(&server);
        named.policy = Policy::Hash(HashOn::Header("user-agent".to_owned()));
        assert_eq!(touched(named.clone()), ["authorization", "user-agent"]);
        assert_eq!(named.named_headers().collect::<Vec<_>>(), ["authorization", "user-agent"]);
        named.policy = Policy::Hash(HashOn::Cookie("id".to_owned()));
        assert_eq!(touched(named.clone()), ["authorization", "cookie"]);
        assert_eq!(named.named_headers().collect::<Vec<_>>(), ["authorization", "cookie"]);
    }
}

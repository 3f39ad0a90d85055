//! A host whose process was suspended while a response arrived.

mod host;

use std::time::Duration;

use http::{Method, StatusCode};
use tunnel_balancer_core::{Pool, RequestMeta, Service, forward};

use host::Host;

#[test]
fn a_response_that_has_arrived_counts_however_late_the_timer_fires() {
    let service = Service::of("app.example", ["a.example", "b.example"]).unwrap();
    let service = service.configure(|service| service.retry.per_try_timeout = Some(Duration::from_secs(2))).unwrap();
    let host = Host { suspended: Some(Duration::from_secs(6)), ..Host::default() };
    let forwarded = host::poll(forward(&Pool::new(service, 1), &host, &host, (), RequestMeta::new(Method::GET)));
    assert_eq!(forwarded.unwrap().response, Ok(StatusCode::OK));
    assert_eq!(host.requests.get(), 1, "it is not sent again");
}

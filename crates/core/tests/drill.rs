//! A drill on a host that does not know when a body was sent, so that it sets no limit.

mod host;

use http::Method;
use tunnel_balancer_core::{
    Body, Clock as _, Drill, DrillClient, DrillKind, Pool, RequestMeta, Server, ServerId, Service, forward,
};

use host::Host;

#[test]
fn a_drill_of_a_hung_server_ends() {
    for is_probed in [true, false] {
        let server = Server::new("a.example".parse().unwrap());
        let mut service = Service::new("app.example", vec![server]).unwrap();
        service.health_check = service.health_check.filter(|_| is_probed);
        let (pool, host) = (Pool::new(service, 1), Host { keeps_bodies: true, ..Host::default() });
        let drill = Drill { server: ServerId::new(0).unwrap(), kind: DrillKind::Hung };
        let copy = pool.for_drill(drill, host.now());
        let client = DrillClient::new(&host, &host, &copy, Some(drill));
        let request = RequestMeta { body: Body::Once, ..RequestMeta::new(Method::POST) };
        let forwarded = host::poll(forward(&copy, &client, &host, (), request));
        assert!(forwarded.is_some_and(|forwarded| forwarded.response.is_err()), "probes: {is_probed}");
    }
}

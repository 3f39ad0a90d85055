//! `cargo run -- 8080 http://127.0.0.1:9001 http://127.0.0.1:9002`

use std::error::Error;

use embed_pingora::Proxy;
use pingora_core::server::Server;
use pingora_core::services::background::background_service;
use pingora_proxy::http_proxy_service;
use tunnel_balancer_core::Pool;
use tunnel_balancer_tokio::Balancer;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let port = arguments.next().ok_or("expected a port, and servers")?;
    let balancer = Balancer::new(Pool::of(arguments)?)?;
    let mut server = Server::new(None)?;
    server.bootstrap();
    let mut service = http_proxy_service(&server.configuration, Proxy(balancer.clone()));
    service.add_tcp(&format!("127.0.0.1:{port}"));
    server.add_service(service);
    server.add_service(background_service("probes", Proxy(balancer)));
    server.run_forever();
}

//! A reverse proxy on Pingora, as in its quick start: two servers in turns, with health checks.
//!
//! Usage: pingora-proxy PORT THREADS SERVER SERVER [tuned]. With `tuned`, a request that could not
//! be delivered is sent to the other server, and timeouts are short.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pingora_core::server::Server;
use pingora_core::server::configuration::ServerConf;
use pingora_core::services::background::background_service;
use pingora_core::upstreams::peer::HttpPeer;
use pingora_core::{Error, ErrorType, Result};
use pingora_load_balancing::LoadBalancer;
use pingora_load_balancing::health_check::TcpHealthCheck;
use pingora_load_balancing::selection::RoundRobin;
use pingora_proxy::{ProxyHttp, Session, http_proxy_service};

struct Proxy {
    servers: Arc<LoadBalancer<RoundRobin>>,
    is_tuned: bool,
}

#[async_trait]
impl ProxyHttp for Proxy {
    type CTX = ();

    fn new_ctx(&self) {}

    async fn upstream_peer(&self, _: &mut Session, (): &mut ()) -> Result<Box<HttpPeer>> {
        let server = self.servers.select(b"", 256).ok_or_else(|| Error::new(ErrorType::ConnectNoRoute))?;
        let mut peer = HttpPeer::new(server, false, String::new());
        if self.is_tuned {
            peer.options.connection_timeout = Some(Duration::from_millis(500));
            peer.options.read_timeout = Some(Duration::from_secs(1));
        }
        Ok(Box::new(peer))
    }

    fn fail_to_connect(&self, _: &mut Session, _: &HttpPeer, (): &mut (), mut error: Box<Error>) -> Box<Error> {
        error.set_retry(self.is_tuned);
        error
    }
}

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [port, threads, a, b, tuned @ ..] = arguments.as_slice() else {
        return Err("expected a port, a number of threads and two servers".into());
    };
    let conf = ServerConf { threads: threads.parse()?, ..ServerConf::default() };
    let mut server = Server::new_with_opt_and_conf(None, conf);
    server.bootstrap();
    let mut servers = LoadBalancer::try_from_iter([a.as_str(), b.as_str()])?;
    servers.set_health_check(TcpHealthCheck::new());
    servers.health_check_frequency = Some(Duration::from_secs(1));
    let background = background_service("health checks", servers);
    let proxy = Proxy { servers: background.task(), is_tuned: !tuned.is_empty() };
    let mut service = http_proxy_service(&server.configuration, proxy);
    service.add_tcp(&format!("127.0.0.1:{port}"));
    server.add_service(service);
    server.add_service(background);
    server.run_forever();
}

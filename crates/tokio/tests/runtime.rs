//! Requests and their runtime.

use std::error::Error;
use std::net::TcpListener;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use http::Request;
use tokio::runtime::{Builder, Runtime};
use tunnel_balancer_core::{Clock as _, Failure, Pool, ProbeKind, RequestMeta, Service};
use tunnel_balancer_tokio::{Balancer, Body, Dispatcher, TokioClock};

type Result = std::result::Result<(), Box<dyn Error>>;

const MILLISECOND: Duration = Duration::from_millis(1);

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

/// Returns a server that never responds, and a pool that probes it very often.
fn hung_server() -> (TcpListener, Arc<Pool>) {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let service = Service::of("app.example", [format!("http://{}", server.local_addr().unwrap())]).unwrap();
    let service = service.configure(|service| {
        let check = service.health_check.as_mut().unwrap();
        check.kind = ProbeKind::Tcp;
        (check.interval, check.unhealthy_interval, check.timeout) = ([MILLISECOND; 3]).into();
    });
    (server, Arc::new(Pool::new(service.unwrap(), 1)))
}

/// Drops a request after its runtime, at a time when probes are due.
fn drop_late<T>(pool: &Pool, request: impl Future<Output = T>) {
    let (runtime, mut request) = (runtime(), Box::pin(request));
    runtime.block_on(async {
        tokio::time::timeout(20 * MILLISECOND, &mut request).await.map(drop).expect_err("no response")
    });
    drop(runtime);
    thread::sleep(20 * MILLISECOND);
    drop(request);
    let status = pool.update(|state| state.status(TokioClock::new().now()));
    assert_eq!((status.in_flight, status.servers[0].in_flight, status.requests.canceled), (0, 0, 1));
}

#[test]
fn a_request_can_be_dropped_after_its_runtime() -> Result {
    let (_server, pool) = hung_server();
    let balancer = Balancer::new(Arc::clone(&pool))?;
    drop_late(&pool, balancer.send(Request::get("/").body(Body::empty())?));

    let (_server, pool) = hung_server();
    let dispatcher = Dispatcher::new(Arc::clone(&pool))?;
    drop_late(
        &pool,
        dispatcher.call(RequestMeta::read(), |_| std::future::pending::<std::result::Result<(), Failure>>()),
    );

    #[cfg(feature = "reqwest")]
    {
        let (_server, pool) = hung_server();
        let balancer = tunnel_balancer_tokio::ReqwestBalancer::new(reqwest::Client::new(), Arc::clone(&pool))?;
        drop_late(&pool, balancer.execute(balancer.get("/")?.build()?));
    }
    #[cfg(feature = "tower")]
    {
        use hyper_util::client::legacy::Client;
        use hyper_util::rt::TokioExecutor;
        use tower_layer::Layer as _;
        use tower_service::Service as _;

        let (_server, pool) = hung_server();
        let client = Client::builder(TokioExecutor::new()).build_http::<String>();
        let mut balanced = tunnel_balancer_tokio::BalancerLayer::new(Arc::clone(&pool))?.layer(client);
        drop_late(&pool, balanced.call(Request::get("/").body(String::new())?));
    }
    Ok(())
}

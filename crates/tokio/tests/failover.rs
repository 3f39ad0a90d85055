//! Requests while servers are killed.

use std::error::Error;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use test_server::Server;
use tunnel_balancer_core::{Clock as _, Health, LocalReply, Outcome, Pool, ProbeKind, Service};
use tunnel_balancer_tokio::{Balancer, Body, Dispatcher, Proxy};

type Result = std::result::Result<(), Box<dyn Error + Send + Sync>>;

fn request(method: Method, body: &'static str) -> Request<Full<Bytes>> {
    let request = Request::builder().method(method).uri("/rooms?id=7").header("host", "app.example");
    request.body(Full::from(body)).unwrap()
}

async fn text<B: http_body::Body<Data = Bytes, Error: std::fmt::Debug>>(response: Response<B>) -> String {
    let body = response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(body.to_vec()).unwrap()
}

#[tokio::test]
async fn a_killed_server_loses_no_request() -> Result {
    let (a, b) = (Server::start("a").await, Server::start("b").await);
    let balancer = Balancer::new(Pool::of([a.url(), b.url()])?)?;
    for _ in 0..5 {
        let response = balancer.send(request(Method::GET, "")).await?;
        assert_eq!(text(response).await, "a: GET /rooms?id=7 \"\"");
    }
    assert!(a.connections() <= 2, "connections are reused: one for requests, and one for a probe beside the first");
    a.kill().await;
    let response = balancer.send(request(Method::POST, "order")).await?;
    assert_eq!(text(response).await, "b: POST /rooms?id=7 \"order\"");
    assert_eq!(text(balancer.send(request(Method::GET, "")).await?).await, "b: GET /rooms?id=7 \"\"");
    Ok(())
}

#[tokio::test]
async fn a_failed_request_has_its_attempts() -> Result {
    let (a, b) = (Server::start("a").await, Server::start("b").await);
    let balancer = Balancer::new(Pool::of([a.url(), b.url()])?)?;
    let names: Vec<_> = balancer.pool().service().servers().iter().map(|server| server.name.clone()).collect();
    a.kill().await;
    b.kill().await;
    let failed = balancer.send(request(Method::GET, "")).await.unwrap_err();
    assert!(matches!(failed.reply(), LocalReply::Unavailable { .. }));
    assert!(failed.attempts().iter().all(|attempt| matches!(attempt.outcome, Outcome::Failed(_))));
    let [a, b] = &names[..] else { unreachable!() };
    assert_eq!(
        failed.to_string(),
        format!("no response: unavailable ({a}: connection refused, {b}: connection refused)")
    );
    Ok(())
}

#[tokio::test]
async fn a_server_that_returns_is_found_without_traffic() -> Result {
    let (a, b) = (Server::start("a").await, Server::start("b").await);
    let service = Service::of("app.example", [a.url(), b.url()])?.configure(|service| {
        let check = service.health_check.as_mut().unwrap();
        (check.interval, check.unhealthy_interval) = ([Duration::from_millis(50); 2]).into();
        check.timeout = Duration::from_millis(50);
        check.rise = 1;
    })?;
    let balancer = Balancer::new(Pool::new(service, 1))?;
    let a = a.kill().await;
    assert_eq!(text(balancer.send(request(Method::GET, "")).await?).await, "b: GET /rooms?id=7 \"\"");
    let _prober = balancer.keep_probing();
    let _a = a.restart("a").await;
    // Only a probe can end the ejection, as no request is sent to the server.
    loop {
        let status = balancer.pool().update(|state| state.status(balancer.clock().now()));
        if !status.servers[0].is_unavailable() && status.servers[0].last_probe.is_some() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(text(balancer.send(request(Method::GET, "")).await?).await, "a: GET /rooms?id=7 \"\"");
    Ok(())
}

#[tokio::test]
async fn a_proxy_passes_on_requests_and_replies_by_itself() -> Result {
    let (a, b) = (Server::start("a").await, Server::start("b").await);
    let proxy = Proxy::new(Balancer::new(Pool::of([a.url(), b.url()])?)?);
    a.kill().await;
    let mut order = request(Method::POST, "order");
    order.headers_mut().insert("x-forwarded-for", "1.2.3.4".parse()?);
    let response = proxy.handle(order, Some("203.0.113.7".parse()?)).await;
    assert_eq!(response.headers()["x-seen-client"], "203.0.113.7", "a client cannot set it");
    assert!(response.headers()["x-served-by"].to_str()?.starts_with("127.0.0.1:"));
    assert_eq!(text(response).await, "b: POST /rooms?id=7 \"order\"");

    b.kill().await;
    let response = proxy.handle(request(Method::GET, ""), None).await;
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    let loops = Request::get("/").header("host", "a").header("x-tunnel-balancer-hop", "1").body(Body::empty())?;
    assert_eq!(proxy.handle(loops, None).await.status(), StatusCode::LOOP_DETECTED);
    let without_host = Request::get("/").body(Body::empty())?;
    assert_eq!(proxy.handle(without_host, None).await.status(), StatusCode::BAD_REQUEST);
    Ok(())
}

#[tokio::test]
async fn options_of_a_whole_server_have_no_path() -> Result {
    let a = Server::start("a").await;
    let options = || Request::options("*").header("host", "app.example").body(Body::empty());
    for (base, expected) in [("", "a: OPTIONS * \"\""), ("/base", "a: OPTIONS /base \"\"")] {
        let balancer = Balancer::new(Pool::of([a.url() + base])?)?;
        assert_eq!(text(balancer.send(options()?).await?).await, expected);
        assert_eq!(text(Proxy::new(balancer).handle(options()?, None).await).await, expected);
    }
    Ok(())
}

#[tokio::test]
async fn servers_of_other_protocols_are_rejected() -> Result {
    let pool = || Pool::of(["http://127.0.0.1:1", "tcp://127.0.0.1:2"]);
    let expected = "server `127.0.0.1:2`: expected an `http` or `https` address, found `tcp`: \
                    use a `Dispatcher` for other protocols";
    assert_eq!(Balancer::new(pool()?).unwrap_err().to_string(), expected);
    #[cfg(feature = "reqwest")]
    {
        let client = reqwest::Client::new();
        assert_eq!(tunnel_balancer_tokio::ReqwestBalancer::new(client, pool()?).unwrap_err().to_string(), expected);
    }
    #[cfg(feature = "tower")]
    assert_eq!(tunnel_balancer_tokio::BalancerLayer::new(pool()?).unwrap_err().to_string(), expected);
    Ok(())
}

#[test]
fn settings_are_checked() -> Result {
    let mut service = Service::of("app.example", ["127.0.0.1:1"])?;
    service.retry.timeout = Duration::MAX;
    let pool = || Pool::new(service.clone(), 1);
    let expected = "`retry.timeout`: expected 1s to 3600s, found 18446744073709551615.999999999s";
    assert_eq!(Balancer::new(pool()).unwrap_err().to_string(), expected);
    assert_eq!(Dispatcher::new(pool()).unwrap_err().to_string(), expected);
    #[cfg(feature = "reqwest")]
    {
        let client = reqwest::Client::new();
        assert_eq!(tunnel_balancer_tokio::ReqwestBalancer::new(client, pool()).unwrap_err().to_string(), expected);
    }
    #[cfg(feature = "tower")]
    assert_eq!(tunnel_balancer_tokio::BalancerLayer::new(pool()).unwrap_err().to_string(), expected);
    Ok(())
}

#[tokio::test]
async fn a_dispatcher_probes_servers_of_any_address() -> Result {
    let (a, b) = (Server::start("a").await, Server::start("b").await);
    let without_scheme = b.url().trim_start_matches("http://").to_owned();
    let dispatcher = Dispatcher::new(Pool::of([a.url(), without_scheme])?)?;
    let _prober = dispatcher.keep_probing();
    all_healthy(dispatcher.pool()).await;
    Ok(())
}

#[test]
fn a_dispatcher_requires_checks_by_connections() -> Result {
    let service = Service::of("app.example", ["tcp://127.0.0.1:1", "127.0.0.1:2"])?.configure(|service| {
        service.health_check.as_mut().unwrap().path = "/health".to_owned();
    })?;
    assert_eq!(
        Dispatcher::new(Pool::new(service.clone(), 1)).unwrap_err().to_string(),
        "server `127.0.0.1:2`: a `Dispatcher` probes by TCP connections: set `ProbeKind::Tcp` in its health check"
    );
    let service = service.configure(|service| service.health_check.as_mut().unwrap().kind = ProbeKind::Tcp)?;
    assert!(Dispatcher::new(Pool::new(service, 1)).is_ok());
    Ok(())
}

/// Waits until the probes of all servers have passed.
async fn all_healthy(pool: &Pool) {
    let is_healthy = |id| pool.update(|state| state.health(id)) == Health::Healthy;
    let wait = async {
        while !pool.service().all().iter().all(is_healthy) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), wait).await.expect("a probe of each server passes");
}

#[cfg(feature = "tower")]
mod tower {
    use hyper_util::client::legacy::Client;
    use hyper_util::rt::TokioExecutor;
    use tower_layer::Layer as _;
    use tower_service::Service as _;
    use tunnel_balancer_tokio::{BalancerLayer, ClientIp};

    use super::*;

    #[tokio::test]
    async fn the_client_and_the_proxy_are_services() -> Result {
        let (a, b) = (Server::start("a").await, Server::start("b").await);
        let mut balancer = Balancer::new(Pool::of([a.url(), b.url()])?)?;
        a.kill().await;
        assert_eq!(text(balancer.call(request(Method::GET, "")).await?).await, "b: GET /rooms?id=7 \"\"");
        let mut proxied = request(Method::GET, "");
        proxied.extensions_mut().insert(ClientIp("203.0.113.7".parse()?));
        let response = Proxy::new(balancer).call(proxied).await?;
        assert_eq!(response.headers()["x-seen-client"], "203.0.113.7");
        Ok(())
    }

    #[tokio::test]
    async fn a_layer_selects_the_server_for_another_client() -> Result {
        let (a, b) = (Server::start("a").await, Server::start("b").await);
        let client = Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
        let layer = BalancerLayer::new(Pool::of([a.url(), b.url()])?)?;
        let mut balanced = layer.layer(client);
        assert_eq!(text(balanced.call(request(Method::GET, "")).await?).await, "a: GET /rooms?id=7 \"\"");
        a.kill().await;
        assert_eq!(text(balanced.call(request(Method::POST, "order")).await?).await, "b: POST /rooms?id=7 \"order\"");
        b.kill().await;
        let failed = balanced.call(request(Method::GET, "")).await.unwrap_err();
        assert!(failed.to_string().contains("connection refused"), "{failed}");
        let status = layer.pool().update(|state| state.status(layer.clock().now()));
        assert_eq!((status.requests.total, status.requests.failed), (3, 1));
        Ok(())
    }
}

#[cfg(feature = "reqwest")]
#[tokio::test]
async fn a_client_of_reqwest_selects_the_server() -> Result {
    let (a, b) = (Server::start("a").await, Server::start("b").await);
    let client = reqwest::Client::new();
    let balancer = tunnel_balancer_tokio::ReqwestBalancer::new(client.clone(), Pool::of([a.url(), b.url()])?)?;
    let get = || balancer.get("/rooms?id=7").unwrap().build();
    assert_eq!(balancer.execute(get()?).await?.text().await?, "a: GET /rooms?id=7 \"\"");
    a.kill().await;
    let order = client.post("http://any.example/rooms?id=7").body("order").build()?;
    assert_eq!(balancer.execute(order).await?.text().await?, "b: POST /rooms?id=7 \"order\"");
    b.kill().await;
    let failed = balancer.execute(get()?).await.unwrap_err();
    assert!(failed.to_string().contains("connection refused"), "{failed}");
    Ok(())
}

#[cfg(feature = "reqwest")]
#[tokio::test]
async fn a_client_of_reqwest_probes_without_traffic() -> Result {
    let (a, b) = (Server::start("a").await, Server::start("b").await);
    for kind in [ProbeKind::Http, ProbeKind::Tcp] {
        let service = Service::of("app.example", [a.url(), b.url()])?
            .configure(|service| service.health_check.as_mut().unwrap().kind = kind)?;
        let balancer = tunnel_balancer_tokio::ReqwestBalancer::new(reqwest::Client::new(), Pool::new(service, 1))?;
        let _prober = balancer.keep_probing();
        all_healthy(balancer.pool()).await;
        let status = balancer.pool().update(|state| state.status(balancer.clock().now()));
        assert!(status.servers.iter().all(|server| server.last_probe.is_some()));
    }
    Ok(())
}

#[cfg(feature = "reqwest")]
#[tokio::test]
async fn a_url_that_is_too_long_is_not_sent() -> Result {
    let a = Server::start("a").await;
    let balancer = tunnel_balancer_tokio::ReqwestBalancer::new(reqwest::Client::new(), Pool::of([a.url()])?)?;
    let too_long = format!("/{}", "x".repeat(usize::from(u16::MAX)));
    let failed = balancer.execute(balancer.get(&too_long)?.build()?).await.unwrap_err();
    assert_eq!((failed.reply(), failed.attempts().len()), (LocalReply::BadRequest, 0));
    Ok(())
}

#[cfg(feature = "reqwest")]
#[test]
fn a_client_of_reqwest_gets_paths_only() -> Result {
    let pool = Pool::of(["http://127.0.0.1:1"])?;
    let balancer = tunnel_balancer_tokio::ReqwestBalancer::new(reqwest::Client::new(), pool)?;
    for path in ["http://other/x", "rooms"] {
        let error = balancer.get(path).unwrap_err();
        assert_eq!(error.to_string(), format!("expected a path such as `/rooms?id=7`, found `{path}`"));
    }
    Ok(())
}

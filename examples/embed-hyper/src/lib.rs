//! A reverse proxy that embeds `tunnel-balancer-core`: it implements `HttpClient` and `Clock`, and
//! calls `forward`.
//!
//! It is minimal: plain HTTP, one service, buffered request bodies. `crates/native` shows
//! streaming, TLS, limits, reloading, and `X-Forwarded-*` headers with `ProxiedRequest`.

use std::convert::Infallible;
use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use http_body_util::{BodyExt, Either, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode, header};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpListener;
use tunnel_balancer_core::{
    AttemptInfo, Clock, Failure, HttpClient, LocalReply, Pool, ProbeRequest, RequestMeta, Server, Timestamp, forward,
    headers, run_probes,
};

/// The HTTP client of the core, implemented with hyper. Request bodies are in memory, so they can
/// be replayed.
#[derive(Clone)]
struct Hyper {
    client: Client<HttpConnector, Full<Bytes>>,
    pool: Arc<Pool>,
    clock: Uptime,
}

impl HttpClient for Hyper {
    type Request = Request<Bytes>;
    type Response = Response<Incoming>;
    type Error = Failure;

    async fn send(&self, request: &Request<Bytes>, server: &Server, _: AttemptInfo) -> Result<Self::Response, Failure> {
        let mut addressed = request.clone().map(Full::new);
        let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
        *addressed.uri_mut() = server.url.target(path).parse().map_err(|_| Failure::InvalidRequest)?;
        addressed.headers_mut().remove(header::HOST);
        // A request that was not sent is retried, whatever its method is.
        let failure = |error: hyper_util::client::legacy::Error| match error.is_connect() {
            true => Failure::Connect,
            false => Failure::ConnectionLost,
        };
        self.client.request(addressed).await.map_err(failure)
    }

    async fn send_probe(&self, _: &Server, probe: ProbeRequest) -> Result<Self::Response, Failure> {
        let mut request = Request::builder().method(probe.method).uri(probe.url);
        for (name, value) in probe.headers {
            request = request.header(name, value);
        }
        let request = request.body(Full::default()).map_err(|_| Failure::InvalidRequest)?;
        self.client.request(request).await.map_err(|_| Failure::ConnectionLost)
    }

    fn start_probes(&self) {
        while let Some(lease) = self.pool.update(|state| state.next_probe(self.clock.now())) {
            let client = self.clone();
            tokio::spawn(async move { run_probes(&client.pool, &client, &client.clock, lease).await });
        }
    }

    fn status(&self, response: &Self::Response) -> StatusCode {
        response.status()
    }

    fn header(&self, response: &Self::Response, name: &str) -> Option<String> {
        Some(response.headers().get(name)?.to_str().ok()?.to_owned())
    }

    async fn read_prefix(&self, response: Self::Response, limit: usize) -> Result<Vec<u8>, Failure> {
        let body = Limited::new(response.into_body(), limit).collect().await;
        Ok(body.map_err(|_| Failure::ConnectionLost)?.to_bytes().to_vec())
    }

    fn discard(&self, _: Self::Response) {}
}

/// Time since the proxy started.
#[derive(Clone, Copy)]
struct Uptime(Instant);

impl Clock for Uptime {
    fn now(&self) -> Timestamp {
        Timestamp::ZERO + self.0.elapsed()
    }

    fn unix_time(&self) -> Duration {
        SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default()
    }

    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}

async fn respond(proxy: Hyper, request: Request<Incoming>) -> Response<Either<Incoming, Full<Bytes>>> {
    // The limit of a buffered body is 1 MiB.
    let (mut parts, body) = request.into_parts();
    let Ok(body) = Limited::new(body, 1 << 20).collect().await else { return local_reply(LocalReply::Incomplete) };
    if headers::remove_hop_by_hop(&mut parts.headers).is_err() {
        return local_reply(LocalReply::BadRequest);
    }
    let meta = RequestMeta::new(parts.method.clone());
    let request = Request::from_parts(parts, body.to_bytes());
    // To probe without traffic, a proxy also spawns `keep_probing`.
    let forwarded = forward(&proxy.pool, &proxy, &proxy.clock, request, meta).await;
    match forwarded.response {
        Ok(mut response) => match headers::remove_hop_by_hop(response.headers_mut()) {
            Ok(()) => response.map(Either::Left),
            Err(_) => local_reply(LocalReply::unavailable(Duration::ZERO)),
        },
        Err(reply) => local_reply(reply),
    }
}

fn local_reply(reply: LocalReply) -> Response<Either<Incoming, Full<Bytes>>> {
    let mut response = Response::new(Either::Right(Full::from(reply.message())));
    *response.status_mut() = reply.status();
    response
}

/// Serves the connections of `listener` with the servers of `pool`.
///
/// # Errors
/// If the listener fails.
pub async fn serve(listener: TcpListener, pool: Pool) -> Result<Infallible, Box<dyn Error + Send + Sync>> {
    let client = Client::builder(TokioExecutor::new()).build_http();
    let proxy = Hyper { client, pool: Arc::new(pool), clock: Uptime(Instant::now()) };
    loop {
        let (stream, _) = listener.accept().await?;
        let proxy = proxy.clone();
        let service = service_fn(move |request| {
            let proxy = proxy.clone();
            async move { Ok::<_, Infallible>(respond(proxy, request).await) }
        });
        tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

//! How a proxy of your own uses `tunnel-balancer-core`: say how to send a request and what time it is, and call `forward`.
//!
//! It is small so that the shape is seen: plain HTTP, one service, request bodies read before they are sent. What a proxy needs
//! besides (streaming, TLS, limits, reloading, `X-Forwarded-*` by `ProxiedRequest`) is in `crates/native`.

use std::convert::Infallible;
use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http_body_util::{BodyExt, Either, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode, header};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpListener;
use tunnel_balancer_core::{
    Attempt, Clock, Failure, HealthCheck, HttpClient, LocalReply, Pool, ProbeResponse, ProbeResult, RequestMeta,
    Server, Timestamp, forward, headers, run_probes,
};

/// hyper's client for the core. A request's body is in memory, so it can be sent again.
struct Hyper(Client<HttpConnector, Full<Bytes>>);

impl HttpClient for Hyper {
    type Request = Request<Bytes>;
    type Response = Response<Incoming>;
    type Error = Failure;

    async fn send(
        &self,
        request: &mut Request<Bytes>,
        server: &Server,
        _: &Attempt,
    ) -> Result<Self::Response, Failure> {
        let mut addressed = request.clone().map(Full::new);
        let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
        *addressed.uri_mut() = server.url.target(path).parse().map_err(|_| Failure::InvalidRequest)?;
        addressed.headers_mut().remove(header::HOST);
        // What never got a connection may be sent elsewhere whatever its method is.
        let failure = |error: hyper_util::client::legacy::Error| match error.is_connect() {
            true => Failure::Connect,
            false => Failure::ConnectionLost,
        };
        self.0.request(addressed).await.map_err(failure)
    }

    async fn probe(&self, server: &Server, check: &HealthCheck) -> ProbeResult {
        let target = server.url.target(&check.path).parse().map_err(|_| Failure::InvalidRequest)?;
        Ok(ProbeResponse::new(self.0.get(target).await.map_err(|_| Failure::ConnectionLost)?.status()))
    }

    fn status(&self, response: &Self::Response) -> StatusCode {
        response.status()
    }

    fn discard(&self, _: Self::Response) {}
}

/// Time since the proxy began.
struct Uptime(Instant);

impl Clock for Uptime {
    fn now(&self) -> Timestamp {
        Timestamp::ZERO + self.0.elapsed()
    }

    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}

struct Proxy {
    pool: Pool,
    client: Hyper,
    clock: Uptime,
}

impl Proxy {
    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Response<Either<Incoming, Full<Bytes>>> {
        // The largest body that is worth keeping in memory for a second try.
        let (mut parts, body) = request.into_parts();
        let Ok(body) = Limited::new(body, 1 << 20).collect().await else { return own(LocalReply::Incomplete) };
        if headers::remove_hop_by_hop(&mut parts.headers).is_err() {
            return own(LocalReply::BadRequest);
        }
        let info = RequestMeta::new(parts.method.clone());
        let request = Request::from_parts(parts, body.to_bytes());
        let forwarded = forward(&self.pool, &self.client, &self.clock, request, info).await;
        // Health checks run beside requests. A proxy that should check without traffic does this on a timer as well.
        while let Some(lease) = self.pool.update(|state| state.next_probe(self.clock.now())) {
            let proxy = Arc::clone(&self);
            tokio::spawn(async move { run_probes(&proxy.pool, &proxy.client, &proxy.clock, lease).await });
        }
        match forwarded.answer {
            Ok(mut response) => match headers::remove_hop_by_hop(response.headers_mut()) {
                Ok(()) => response.map(Either::Left),
                Err(_) => own(LocalReply::unavailable(Duration::ZERO)),
            },
            Err(problem) => own(problem),
        }
    }
}

fn own(problem: LocalReply) -> Response<Either<Incoming, Full<Bytes>>> {
    let mut response = Response::new(Either::Right(Full::from(problem.message())));
    *response.status_mut() = problem.status();
    response
}

/// Serves what comes to `listener` with the servers of `pool`.
///
/// # Errors
/// When the listener fails.
pub async fn serve(listener: TcpListener, pool: Pool) -> Result<Infallible, Box<dyn Error + Send + Sync>> {
    let client = Hyper(Client::builder(TokioExecutor::new()).build_http());
    let proxy = Arc::new(Proxy { pool, client, clock: Uptime(Instant::now()) });
    loop {
        let (stream, _) = listener.accept().await?;
        let proxy = Arc::clone(&proxy);
        let service = service_fn(move |request| {
            let proxy = Arc::clone(&proxy);
            async move { Ok::<_, Infallible>(proxy.answer(request).await) }
        });
        tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

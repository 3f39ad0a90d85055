//! A client whose requests go to one of the servers of a pool.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body as _;
use hyper::body::Incoming;
use tokio::task::JoinHandle;
use tunnel_balancer_core::{Forwarded, LocalReply, Pool, ReplayBuffer, RequestMeta, ServerId, forward, keep_probing};

use crate::BoxError;
use crate::body::Body;
use crate::clock::TokioClock;
use crate::failed::Failed;
use crate::own;
use crate::request_body::{BufferGuard, ClientBody, RequestBody};
use crate::servers::Servers;
use crate::upstream::{SendError, Upstream};
use crate::upstream_body::{ResponseOrigin, UpstreamBody};
use crate::upstream_request::UpstreamRequest;

/// A client whose requests go to one of the servers of a pool. Clones share the connections.
///
/// A request that a server does not respond to is sent to another one, if it may be: see
/// [`RequestMeta::rule`](tunnel_balancer_core::RequestMeta::rule).
///
/// ```no_run
/// use http::Request;
/// use tunnel_balancer_core::Pool;
/// use tunnel_balancer_tokio::{Balancer, Body};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let balancer = Balancer::new(Pool::of(["http://10.0.0.1:8080", "http://10.0.0.2:8080"])?)?;
/// let response = balancer.send(Request::get("/rooms?id=7").body(Body::empty())?).await?;
/// println!("{}", response.status());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Balancer {
    servers: Servers,
    replay: ReplayBuffer,
}

/// Probes the servers of a pool until it is dropped. Keep it as long as the client is used:
///
/// ```
/// # use tunnel_balancer_core::Pool;
/// # use tunnel_balancer_tokio::Balancer;
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let balancer = Balancer::new(Pool::of(["http://10.0.0.1:8080"])?)?;
/// let _prober = balancer.keep_probing(); // `let _ = ..` would drop it at once.
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[must_use = "probing stops when this is dropped"]
pub struct Prober(JoinHandle<()>);

impl Prober {
    pub(crate) fn spawn(probing: impl Future<Output = ()> + Send + 'static) -> Self {
        Self(tokio::spawn(probing))
    }
}

impl Drop for Prober {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Balancer {
    /// The time without data after which the body of a request or a response is aborted.
    const IDLE_TIMEOUT: Duration = Duration::from_secs(600);

    /// The number of idle connections to a server that are kept.
    const MAX_IDLE: usize = 64;

    /// Creates a client without connections.
    ///
    /// # Errors
    /// If [a setting is invalid](tunnel_balancer_core::Service::check), a server has an address of
    /// another protocol than HTTP, or the root certificates of the machine cannot be read.
    pub fn new(pool: impl Into<Arc<Pool>>) -> io::Result<Self> {
        let pool = pool.into();
        own::check_http(pool.service())?;
        let upstream = Arc::new(Upstream::new(Self::MAX_IDLE)?);
        let servers = Servers { upstream, pool, clock: TokioClock::new() };
        Ok(Self { servers, replay: ReplayBuffer::default() })
    }

    /// Returns the pool, for its status and for changes at run time.
    pub const fn pool(&self) -> &Arc<Pool> {
        &self.servers.pool
    }

    /// Returns the clock of the pool.
    pub const fn clock(&self) -> TokioClock {
        self.servers.clock
    }

    /// Probes the servers without traffic, too, until the result is dropped. Otherwise probes run
    /// beside requests. Whatever else uses the pool needs the same [`clock`](Self::clock).
    ///
    /// # Panics
    /// Outside of a runtime of tokio.
    pub fn keep_probing(&self) -> Prober {
        let servers = self.servers.clone();
        Prober::spawn(async move { keep_probing(&servers.pool, &servers, &servers.clock).await })
    }

    /// Sends a request to one server, or to several in turn until one responds. The scheme and the
    /// host of its URI are ignored.
    ///
    /// A body up to [`max_buffered_body`](tunnel_balancer_core::RetrySettings::max_buffered_body)
    /// is buffered, so that it can be sent again. An upgrade to another protocol, such as
    /// WebSocket, is not supported: [`Proxy`](crate::Proxy) relays those of its clients.
    ///
    /// # Errors
    /// If no server responded, with the attempts.
    pub async fn send<B>(&self, request: Request<B>) -> Result<Response<Body>, Failed>
    where
        B: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
    {
        let (parts, body) = request.into_parts();
        let (body, buffer) = self
            .read_body(ClientBody::new(body), None)
            .await
            .ok_or_else(|| Failed::not_sent(LocalReply::Incomplete))?;
        let request = UpstreamRequest::own(parts, body, self.pool());
        let meta = request.meta().map_err(|_| Failed::not_sent(LocalReply::BadRequest))?;
        let forwarded = self.forward(request, meta).await;
        drop(buffer);
        let (served_by, response) = (forwarded.served_by, forwarded.response);
        match (response, served_by) {
            (Ok(response), Some(server)) => Ok(self.receive(response, server)),
            (Ok(_), None) => Err(Failed::not_sent(LocalReply::InvalidResponse)),
            (Err(reply), _) => Err(Failed::new(reply, forwarded.failures, self.pool().service())),
        }
    }

    /// Sends a request of this program or of a client.
    pub(crate) async fn forward(
        &self,
        request: UpstreamRequest,
        meta: RequestMeta,
    ) -> Forwarded<Response<Incoming>, SendError> {
        forward(self.pool(), &self.servers, &self.servers.clock, request, meta).await
    }

    /// Buffers a body if it may be. `None` if it ends early.
    pub(crate) async fn read_body(
        &self,
        body: ClientBody,
        client: Option<&str>,
    ) -> Option<(RequestBody, Option<BufferGuard>)> {
        let buffer = BufferGuard::take(&self.replay, &body, client, self.pool(), self.clock());
        let timeout = self.pool().service().retry.timeout;
        let body = RequestBody::read(body, buffer.as_ref(), timeout, Self::IDLE_TIMEOUT).await?;
        // A body that is streamed after all releases its memory.
        let buffer = buffer.filter(|_| body.is_replayable() && !body.is_end_stream());
        Some((body, buffer))
    }

    /// Returns the response of a server, whose body reports its end to the pool.
    pub(crate) fn receive(&self, response: Response<Incoming>, server: ServerId) -> Response<Body> {
        let (mut parts, body) = response.into_parts();
        let slot = parts.extensions.remove();
        let origin = ResponseOrigin { pool: Arc::clone(self.pool()), server, clock: self.clock(), slot };
        Response::from_parts(parts, Body::upstream(UpstreamBody::new(body, Self::IDLE_TIMEOUT, origin)))
    }
}

//! A layer that sends each request through an inner client, to one of the servers of a pool.

use std::error::Error;
use std::future::poll_fn;
use std::io;
use std::marker::PhantomData;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Buf as _;
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use tower_layer::Layer;
use tower_service::Service;
use tunnel_balancer_core::{
    AttemptInfo, Failure, HttpClient, Pool, ProbeRequest, Server, UpstreamError, forward, run_probes,
};

use crate::BoxError;
use crate::clock::TokioClock;
use crate::error;
use crate::failed::Failed;
use crate::own;
use crate::probes;
use crate::tower::BoxFuture;
use crate::upstream::Upstream;

/// A layer that selects the server of each request, around a client that sends requests to the
/// absolute URL in their URI.
///
/// The inner service is cloned for each attempt. Its bodies must be in memory, so that they can be
/// sent again. Probes run beside requests.
///
/// ```no_run
/// use http::Request;
/// use hyper_util::client::legacy::Client;
/// use hyper_util::rt::TokioExecutor;
/// use tower_layer::Layer as _;
/// use tower_service::Service as _;
/// use tunnel_balancer_core::Pool;
/// use tunnel_balancer_tokio::BalancerLayer;
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let layer = BalancerLayer::new(Pool::of(["http://10.0.0.1:8080", "http://10.0.0.2:8080"])?)?;
/// let mut client = layer.layer(Client::builder(TokioExecutor::new()).build_http());
/// let response = client.call(Request::get("/rooms?id=7").body(String::new())?).await?;
/// println!("{}", response.status());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct BalancerLayer {
    pool: Arc<Pool>,
    clock: TokioClock,
}

impl BalancerLayer {
    /// Creates a layer for the servers of a pool.
    ///
    /// # Errors
    /// If [a setting is invalid](tunnel_balancer_core::Service::check), or a server has an address
    /// of another protocol than HTTP.
    pub fn new(pool: impl Into<Arc<Pool>>) -> io::Result<Self> {
        let pool = pool.into();
        own::check_http(pool.service())?;
        Ok(Self { pool, clock: TokioClock::new() })
    }

    /// Returns the pool, for its status and for changes at run time.
    pub const fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }

    /// Returns the clock of the pool.
    pub const fn clock(&self) -> TokioClock {
        self.clock
    }
}

impl<S> Layer<S> for BalancerLayer {
    type Service = Balanced<S>;

    fn layer(&self, inner: S) -> Balanced<S> {
        Balanced { inner, pool: Arc::clone(&self.pool), clock: self.clock }
    }
}

/// A service that sends requests through `S`: see [`BalancerLayer`].
#[derive(Clone, Debug)]
pub struct Balanced<S> {
    inner: S,
    pool: Arc<Pool>,
    clock: TokioClock,
}

impl<S, B, R> Service<Request<B>> for Balanced<S>
where
    S: Service<Request<B>, Response = Response<R>, Error: Into<BoxError>, Future: Send> + Clone + Send + Sync + 'static,
    B: Clone + Default + Send + Sync + 'static,
    R: http_body::Body<Data: Send, Error: Into<BoxError>> + Send + 'static,
{
    type Response = Response<R>;
    type Error = Failed;
    type Future = BoxFuture<Result<Response<R>, Failed>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failed>> {
        // The inner service becomes ready for each attempt.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let client =
            Inner { service: self.inner.clone(), pool: Arc::clone(&self.pool), clock: self.clock, body: PhantomData };
        let (service, body) = (client.pool.service(), tunnel_balancer_core::Body::Replayable);
        let meta = own::meta(service, request.method(), request.uri(), request.headers(), body);
        Box::pin(async move {
            let forwarded = forward(&client.pool, &client, &client.clock, request, meta).await;
            forwarded.response.map_err(|reply| Failed::new(reply, forwarded.failures, client.pool.service()))
        })
    }
}

/// The client of the core for an inner service with bodies `B`.
struct Inner<S, B> {
    service: S,
    pool: Arc<Pool>,
    clock: TokioClock,
    body: PhantomData<fn() -> B>,
}

impl<S: Clone, B> Clone for Inner<S, B> {
    fn clone(&self) -> Self {
        Self { service: self.service.clone(), pool: Arc::clone(&self.pool), clock: self.clock, body: PhantomData }
    }
}

/// Why an inner service has no response.
enum InnerError {
    /// The request could not be built.
    NotSent(Failure),
    /// The service failed.
    Service(BoxError),
}

impl UpstreamError for InnerError {
    fn failure(&self) -> Failure {
        match self {
            Self::NotSent(failure) => *failure,
            Self::Service(error) => error::failure(&**error),
        }
    }

    fn detail(&self) -> Option<String> {
        let Self::Service(error) = self else { return None };
        let error: &(dyn Error + 'static) = &**error;
        Some(error::cause(error).unwrap_or_else(|| error::describe(error)))
    }
}

impl<S, B, R> Inner<S, B>
where
    S: Service<Request<B>, Response = Response<R>, Error: Into<BoxError>> + Clone,
{
    async fn request(&self, request: Request<B>) -> Result<Response<R>, InnerError> {
        let mut service = self.service.clone();
        let ready = poll_fn(|context| service.poll_ready(context)).await;
        ready.map_err(|error| InnerError::Service(error.into()))?;
        service.call(request).await.map_err(|error| InnerError::Service(error.into()))
    }
}

impl<S, B, R> HttpClient for Inner<S, B>
where
    S: Service<Request<B>, Response = Response<R>, Error: Into<BoxError>, Future: Send> + Clone + Send + Sync + 'static,
    B: Clone + Default + Send + Sync + 'static,
    R: http_body::Body<Data: Send, Error: Into<BoxError>> + Send + 'static,
{
    type Request = Request<B>;
    type Response = Response<R>;
    type Error = InnerError;

    async fn send(&self, request: &Request<B>, server: &Server, _: AttemptInfo) -> Result<Response<R>, InnerError> {
        let (mut parts, body) = request.clone().into_parts();
        let prepared = own::prepare(self.pool.service(), server, &parts.uri, &mut parts.headers);
        parts.uri = prepared.map_err(InnerError::NotSent)?;
        self.request(Request::from_parts(parts, body)).await
    }

    async fn send_probe(&self, _: &Server, probe: ProbeRequest) -> Result<Response<R>, InnerError> {
        self.request(probe.try_into().map_err(|_| InnerError::NotSent(Failure::InvalidRequest))?).await
    }

    async fn connect(&self, _: &Server, address: &str) -> Result<(), Failure> {
        Upstream::connect(address).await.map_err(|error| error.failure())
    }

    fn start_probes(&self) {
        probes::start(&self.pool, &self.clock, |lease| {
            let client = self.clone();
            async move { run_probes(&client.pool, &client, &client.clock, lease).await }
        });
    }

    fn status(&self, response: &Response<R>) -> StatusCode {
        response.status()
    }

    fn header(&self, response: &Response<R>, name: &str) -> Option<String> {
        Some(response.headers().get(name)?.to_str().ok()?.to_owned())
    }

    async fn read_prefix(&self, response: Response<R>, limit: usize) -> Result<Vec<u8>, InnerError> {
        let (mut body, mut prefix) = (pin!(response.into_body()), Vec::new());
        while prefix.len() < limit {
            let Some(frame) = body.frame().await else { break };
            if let Ok(mut data) = frame.map_err(|error| InnerError::Service(error.into()))?.into_data() {
                prefix.extend_from_slice(&data.copy_to_bytes(data.remaining()));
            }
        }
        prefix.truncate(limit);
        Ok(prefix)
    }

    fn discard(&self, response: Response<R>) {
        drop(response);
    }
}

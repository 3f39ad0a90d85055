//! Requests of other protocols than HTTP.

use std::future::Future;
use std::io;
use std::sync::Arc;

use http::StatusCode;
use tunnel_balancer_core::{
    AttemptInfo, Failure, HealthCheck, HttpClient, Pool, ProbeKind, ProbeRequest, RequestMeta, Server, ServerUrl,
    Service, UpstreamError, forward, keep_probing, run_probes,
};

use crate::balancer::Prober;
use crate::clock::TokioClock;
use crate::failed::Failed;
use crate::own;
use crate::probes;
use crate::upstream::Upstream;

/// Selects a server for requests of any protocol, and sends a failed one to another server. Clones
/// share the pool.
///
/// ```
/// use tokio::net::{TcpListener, TcpStream};
/// use tunnel_balancer_core::{Failure, Pool, RequestMeta};
/// use tunnel_balancer_tokio::Dispatcher;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (down, up) = (TcpListener::bind("127.0.0.1:0").await?, TcpListener::bind("127.0.0.1:0").await?);
/// let servers = [down.local_addr()?, up.local_addr()?].map(|address| format!("tcp://{address}"));
/// drop(down);
///
/// let dispatcher = Dispatcher::new(Pool::of(servers)?)?;
/// let connection = dispatcher.call(RequestMeta::read(), async |server| {
///     TcpStream::connect(server.url.socket_address()).await.map_err(|_| Failure::Connect)
/// });
/// assert_eq!(connection.await?.peer_addr()?, up.local_addr()?);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Dispatcher {
    pool: Arc<Pool>,
    clock: TokioClock,
}

impl Dispatcher {
    /// Creates a dispatcher for the servers of a pool, such as `tcp://10.0.0.1:5432`. They are
    /// probed by TCP connections, and so are servers with an HTTP address. An address without a
    /// scheme is one of HTTPS, with port 443 unless it has another.
    ///
    /// # Errors
    /// If [a setting is invalid](Service::check), or a health check needs HTTP, as one with a
    /// `path` does.
    pub fn new(pool: impl Into<Arc<Pool>>) -> io::Result<Self> {
        let pool = pool.into();
        own::check_settings(pool.service())?;
        check_probes(pool.service())?;
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

    /// Probes the servers without traffic, too, until the result is dropped. Otherwise probes run
    /// beside requests.
    ///
    /// # Panics
    /// Outside of a runtime of tokio.
    pub fn keep_probing(&self) -> Prober {
        let probes = Probes(self.clone());
        Prober::spawn(async move { keep_probing(&probes.0.pool, &probes, &probes.0.clock).await })
    }

    /// Makes attempts until one returns a response.
    ///
    /// [`Failure::Connect`] and [`Failure::Declined`] state that the request was not executed, so
    /// that a [write](RequestMeta::write) is sent to another server, too. A
    /// [read](RequestMeta::read) may be executed twice. An error of the application, which every
    /// server would return, belongs to `T`. The attempt that is not awaited any longer is dropped.
    ///
    /// A server that accepts connections and never responds passes its probes. Then a request is
    /// waited for until `timeout` of the [retries](tunnel_balancer_core::RetrySettings), 100 s by
    /// default. Set it to what the protocol needs, and `per_try_timeout` for reads: it has no
    /// effect on writes, which are not sent again after it.
    ///
    /// # Errors
    /// If no attempt returned a response.
    pub async fn call<T, E, F>(&self, request: RequestMeta, attempt: impl Fn(Server) -> F) -> Result<T, Failed>
    where
        F: Future<Output = Result<T, E>>,
        E: UpstreamError,
    {
        let client = Call { dispatcher: self.clone(), attempt };
        let forwarded = forward(&self.pool, &client, &self.clock, (), request).await;
        forwarded.response.map_err(|reply| Failed::new(reply, forwarded.failures, self.pool.service()))
    }
}

/// The client of the core for one request.
struct Call<A> {
    dispatcher: Dispatcher,
    attempt: A,
}

impl<A, F, T, E> HttpClient for Call<A>
where
    A: Fn(Server) -> F,
    F: Future<Output = Result<T, E>>,
    E: UpstreamError,
{
    type Request = ();
    type Response = T;
    type Error = E;

    fn send(&self, (): &(), server: &Server, _: AttemptInfo) -> impl Future<Output = Result<T, E>> {
        (self.attempt)(server.clone())
    }

    fn send_probe(&self, server: &Server, _: ProbeRequest) -> impl Future<Output = Result<T, E>> {
        (self.attempt)(server.clone())
    }

    fn start_probes(&self) {
        Probes(self.dispatcher.clone()).start_probes();
    }

    fn status(&self, _: &T) -> StatusCode {
        StatusCode::OK
    }

    fn header(&self, _: &T, _: &str) -> Option<String> {
        None
    }

    async fn read_prefix(&self, _: T, _: usize) -> Result<Vec<u8>, E> {
        Ok(Vec::new())
    }

    fn discard(&self, response: T) {
        drop(response);
    }
}

/// The client of the core for probes: TCP connections.
#[derive(Clone)]
struct Probes(Dispatcher);

impl HttpClient for Probes {
    type Request = ();
    type Response = ();
    type Error = Failure;

    async fn send(&self, (): &(), _: &Server, _: AttemptInfo) -> Result<(), Failure> {
        Err(Failure::Local)
    }

    async fn send_probe(&self, server: &Server, probe: ProbeRequest) -> Result<(), Failure> {
        let url = probe.url.parse::<ServerUrl>().map_err(|_| Failure::InvalidRequest)?;
        self.connect(server, &url.socket_address()).await
    }

    async fn connect(&self, _: &Server, address: &str) -> Result<(), Failure> {
        Upstream::connect(address).await.map_err(|error| error.failure())
    }

    fn start_probes(&self) {
        let Dispatcher { pool, clock } = &self.0;
        probes::start(pool, clock, |lease| {
            let probes = self.clone();
            async move { run_probes(&probes.0.pool, &probes, &probes.0.clock, lease).await }
        });
    }

    fn status(&self, (): &()) -> StatusCode {
        StatusCode::OK
    }

    fn header(&self, (): &(), _: &str) -> Option<String> {
        None
    }

    async fn read_prefix(&self, (): (), _: usize) -> Result<Vec<u8>, Failure> {
        Ok(Vec::new())
    }

    fn discard(&self, (): ()) {}
}

/// Returns an error for a server whose health check needs more than a connection.
fn check_probes(service: &Service) -> io::Result<()> {
    let needs_http = |check: &HealthCheck| {
        let mut plain = HealthCheck::default();
        (plain.port, plain.rise, plain.fall) = (check.port, check.rise, check.fall);
        (plain.interval, plain.unhealthy_interval, plain.timeout) =
            (check.interval, check.unhealthy_interval, check.timeout);
        check.kind != ProbeKind::Tcp && *check != plain
    };
    let server = service.all().iter().find(|id| service.health_check_of(*id).is_some_and(needs_http));
    let hint = "a `Dispatcher` probes by TCP connections: set `ProbeKind::Tcp` in its health check";
    server.and_then(|id| service.server(id)).map_or(Ok(()), |server| Err(own::invalid_server(server, hint)))
}

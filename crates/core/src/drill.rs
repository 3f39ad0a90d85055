//! Drills: one request sees a server as down, hung or failing, and no other request notices.
//!
//! A drilled request runs on a [copy](Pool::for_drill) of its pool, through a [`DrillClient`] that
//! simulates the failure. Requests to the other servers are real.

use std::time::Duration;

use http::StatusCode;

use crate::attempt::AttemptInfo;
use crate::classify::Failure;
use crate::client::{Clock, HttpClient, UpstreamError};
use crate::log::FailedAttempt;
use crate::pool::Pool;
use crate::proxy::ProbeRequest;
use crate::server_set::ServerId;
use crate::service::Server;

/// What one request is to assume about a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drill {
    /// The server.
    pub server: ServerId,
    /// What is assumed.
    pub kind: DrillKind,
}

/// What a drill assumes about a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DrillKind {
    /// It refuses connections.
    Down,
    /// It responds to neither requests nor probes.
    Hung,
    /// It breaks every connection after the request was delivered.
    Failing,
    /// It gets the request, whatever its state is. Nothing is simulated.
    Force,
}

impl DrillKind {
    /// All kinds.
    pub const ALL: [Self; 4] = [Self::Down, Self::Hung, Self::Failing, Self::Force];

    /// Returns the stable code.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Down => "down",
            Self::Hung => "hung",
            Self::Failing => "failing",
            Self::Force => "force",
        }
    }
}

/// A client that simulates the failure of one server, for a request on a [copy](Pool::for_drill) of
/// its pool. During a drill it starts no probes: those of a hung server get no response, and others
/// would teach the copy nothing that lasts.
#[derive(Debug)]
pub struct DrillClient<'a, C, K> {
    client: &'a C,
    clock: &'a K,
    pool: &'a Pool,
    drill: Option<Drill>,
}

/// Why a drilled request has no response.
#[derive(Debug)]
pub enum DrillError<E> {
    /// The drill simulates this failure.
    Simulated(Failure),
    /// The request to another server failed.
    Client(E),
}

impl<E: UpstreamError> UpstreamError for DrillError<E> {
    fn failure(&self) -> Failure {
        match self {
            Self::Simulated(failure) => *failure,
            Self::Client(error) => error.failure(),
        }
    }

    fn detail(&self) -> Option<String> {
        match self {
            Self::Simulated(_) => Some("simulated by a drill".to_owned()),
            Self::Client(error) => error.detail(),
        }
    }
}

impl<'a, C: HttpClient, K: Clock> DrillClient<'a, C, K> {
    /// How often a probe of a hung server may become due.
    const POLL_INTERVAL: Duration = Duration::from_millis(50);

    /// Creates a client that sends requests through `client`. `pool` is the copy. Without a drill,
    /// it does what `client` does: hosts that use it for all requests compile
    /// [`forward`](crate::forward()) once.
    pub const fn new(client: &'a C, clock: &'a K, pool: &'a Pool, drill: Option<Drill>) -> Self {
        Self { client, clock, pool, drill }
    }

    /// Responds to nothing: neither to the attempt that waits for this, nor to the probes that show
    /// whether the server is alive. Ends after the longest time of a request, as the edge ends a
    /// request whose host sets no limit.
    async fn hang(&self, id: ServerId) {
        let service = self.pool.service();
        let end = self.clock.now() + service.retry.timeout;
        let Some(timeout) = service.health_check_of(id).map(|check| check.timeout) else {
            return self.clock.sleep(service.retry.timeout).await;
        };
        while self.clock.now() < end {
            match self.pool.update(|state| state.next_probe_of(id, self.clock.now())) {
                None => self.clock.sleep(Self::POLL_INTERVAL).await,
                Some(lease) => {
                    self.clock.sleep(timeout).await;
                    self.pool.update(|state| state.on_probe(lease, &Err(Failure::Timeout), self.clock.now()));
                }
            }
        }
    }
}

impl<C: HttpClient, K: Clock> HttpClient for DrillClient<'_, C, K> {
    type Request = C::Request;
    type Response = C::Response;
    type Error = DrillError<C::Error>;

    async fn send(
        &self,
        request: &Self::Request,
        server: &Server,
        attempt: AttemptInfo,
    ) -> Result<Self::Response, Self::Error> {
        let failure = match self.drill.filter(|drill| drill.server == attempt.server).map(|drill| drill.kind) {
            Some(DrillKind::Down) => Some(Failure::Connect),
            Some(DrillKind::Failing) => Some(Failure::ConnectionLost),
            Some(DrillKind::Hung) => {
                self.hang(attempt.server).await;
                Some(Failure::Timeout)
            }
            Some(DrillKind::Force) | None => None,
        };
        match failure {
            Some(failure) => Err(DrillError::Simulated(failure)),
            None => self.client.send(request, server, attempt).await.map_err(DrillError::Client),
        }
    }

    async fn send_probe(&self, server: &Server, probe: ProbeRequest) -> Result<Self::Response, Self::Error> {
        self.client.send_probe(server, probe).await.map_err(DrillError::Client)
    }

    async fn connect(&self, server: &Server, address: &str) -> Result<(), Failure> {
        self.client.connect(server, address).await
    }

    fn start_probes(&self) {
        if self.drill.is_none() {
            self.client.start_probes();
        }
    }

    fn status(&self, response: &Self::Response) -> StatusCode {
        self.client.status(response)
    }

    fn header(&self, response: &Self::Response, name: &str) -> Option<String> {
        self.client.header(response, name)
    }

    fn is_websocket(&self, response: &Self::Response) -> bool {
        self.client.is_websocket(response)
    }

    async fn read_prefix(&self, response: Self::Response, limit: usize) -> Result<Vec<u8>, Self::Error> {
        self.client.read_prefix(response, limit).await.map_err(DrillError::Client)
    }

    fn discard(&self, response: Self::Response) {
        self.client.discard(response);
    }

    fn is_body_sent(&self, request: &Self::Request) -> bool {
        self.client.is_body_sent(request)
    }

    fn on_attempt_failed(&self, request: &Self::Request, attempt: &FailedAttempt) {
        self.client.on_attempt_failed(request, attempt);
    }
}

//! The loop that turns decisions into requests: the only async code of the crate, apart from the
//! client of drills.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use http::StatusCode;

use crate::attempt::{Attempt, AttemptInfo, AttemptResult};
use crate::classify::{Delivery, Failure, Outcome};
use crate::client::{Clock, HttpClient, UpstreamError};
use crate::exchange::{Exchange, Finish, Step, Wait};
use crate::local_reply::LocalReply;
use crate::log::FailedAttempt;
use crate::pool::{Lease, Pool};
use crate::proxy::{ProbeRequest, parse_retry_after};
use crate::retry::RequestMeta;
use crate::server_set::ServerId;
use crate::service::{HealthCheck, ProbeKind, ProbeResponse};
use crate::trace::Trace;

/// The result of a request. `E` is the error of the client.
#[derive(Debug)]
#[non_exhaustive]
pub struct Forwarded<R, E = Failure> {
    /// The response to pass on, or what to respond instead.
    pub response: Result<R, LocalReply>,
    /// The server whose response it is.
    pub served_by: Option<ServerId>,
    /// The server of the last attempt.
    pub last_tried: Option<ServerId>,
    /// The number of attempts.
    pub attempts: u32,
    /// The attempts that ended without a response of the application, in the order of their ends.
    pub failures: Vec<FailedAttempt>,
    /// The client's error of the last attempt that had one.
    pub last_error: Option<E>,
    /// Whether the server was unavailable and was tried because none was available.
    pub last_resort: bool,
    /// The decisions, if [the request asks for them](RequestMeta::trace).
    pub trace: Option<Box<Trace>>,
}

impl<R, E> Forwarded<R, E> {
    /// Creates the result of a request without an attempt.
    pub const fn new(response: Result<R, LocalReply>) -> Self {
        Self {
            response,
            served_by: None,
            last_tried: None,
            attempts: 0,
            failures: Vec::new(),
            last_error: None,
            last_resort: false,
            trace: None,
        }
    }

    /// Returns the server that responded, or the reply of the balancer.
    ///
    /// # Errors
    /// The reply.
    pub fn result(&self) -> Result<ServerId, LocalReply> {
        match &self.response {
            Ok(_) => self.served_by.ok_or(LocalReply::unavailable(Duration::ZERO)),
            Err(reply) => Err(*reply),
        }
    }
}

/// Sends a request to the pool's servers until one responds or nothing is left to try.
///
/// Dropping the future, as when the client disconnects, ends the attempts in flight and has no
/// impact on the health of a server.
pub async fn forward<C: HttpClient, K: Clock>(
    pool: &Pool,
    client: &C,
    clock: &K,
    request: C::Request,
    meta: RequestMeta,
) -> Forwarded<C::Response, C::Error> {
    client.start_probes();
    let (exchange, mut step) = pool.update(|state| Exchange::start(meta, state, clock.now()));
    let mut run = Run { pool, client, clock, exchange, attempts: [None, None] };
    let mut sends = [pin!(None), pin!(None)];
    let (mut last, mut last_tried) = (None, None);
    let (mut failures, mut last_error) = (Vec::new(), None);
    let finish = loop {
        match step {
            Step::Finish(finish) => break finish,
            Step::Sleep(pause) => {
                clock.sleep(pause).await;
                step = pool.update(|state| run.exchange.resume(state, clock.now()));
                continue;
            }
            Step::Await => {}
            Step::Attempt(attempt) => {
                if let Some((_, unused)) = last.take() {
                    client.discard(unused);
                }
                let ([first, second], [send, other]) = (&mut run.attempts, &mut sends);
                let (place, send) = if first.is_none() { (first, send) } else { (second, other) };
                let Some(server) = pool.service().server(attempt.server()) else {
                    break Finish::LocalReply(LocalReply::unavailable(Duration::ZERO));
                };
                send.set(Some(client.send(&request, server, attempt.info())));
                last_tried = Some(attempt.server());
                *place = Some(attempt);
            }
        }
        step = loop {
            match run.next_event(&mut sends, client.is_body_sent(&request)).await {
                Event::Timer => {}
                Event::Hedge(hedge) => break Step::Attempt(hedge),
                Event::Ended(slot, sent) => {
                    if let Some(send) = sends.get_mut(slot) {
                        send.set(None);
                    }
                    let Some(attempt) = run.attempts.get_mut(slot).and_then(Option::take) else { continue };
                    let server = attempt.server();
                    let (result, detail) = match &sent {
                        Ok(response) => run.result(response),
                        Err(error) => (Outcome::Failed(error.failure()).into(), error.detail()),
                    };
                    run.exchange.set_failure_detail(detail.as_deref());
                    if let Some(failed) = run.failed(attempt.info(), result.outcome, detail.clone()) {
                        client.on_attempt_failed(&request, &failed);
                        failures.push(failed);
                    }
                    match sent {
                        Ok(response) => {
                            if let Some((_, unused)) = last.replace((server, response)) {
                                client.discard(unused);
                            }
                        }
                        Err(SendError::Client(error)) => last_error = Some(error),
                        Err(SendError::GivenUp(_)) => {}
                    }
                    break pool.update(|state| {
                        let now = clock.now();
                        let step = run.exchange.report(state, attempt, result, now);
                        detail.iter().for_each(|detail| state.describe_failure(server, detail, now));
                        step
                    });
                }
            }
        };
    };
    let (served_by, response) = match (finish, last) {
        (Finish::Response, Some((server, response))) => (Some(server), Ok(response)),
        (Finish::Response, None) => (None, Err(LocalReply::unavailable(Duration::ZERO))),
        (Finish::LocalReply(reply), unused) => {
            unused.into_iter().for_each(|(_, unused)| client.discard(unused));
            (None, Err(reply))
        }
    };
    let (attempts, last_resort) = (run.exchange.attempts(), run.exchange.is_last_resort());
    run.cancel_attempts();
    let trace = run.exchange.take_trace();
    Forwarded { response, served_by, last_tried, attempts, failures, last_error, last_resort, trace }
}

/// Runs the probe of `lease`, and after it others of the same pool that are due, each server's at
/// most once.
///
/// A host takes leases from [`PoolState::next_probe`](crate::PoolState::next_probe) until there are
/// none, and runs this for each in the background: see [`HttpClient::start_probes`].
pub async fn run_probes<C: HttpClient, K: Clock>(pool: &Pool, client: &C, clock: &K, lease: Lease) {
    let started = lease.started();
    let mut next = Some(lease);
    while let Some(lease) = next.take() {
        let server = lease.server();
        let probed = probe(pool, client, clock, server).await;
        let (result, detail) = match probed {
            Ok(response) => (Ok(response), None),
            Err((failure, detail)) => (Err(failure), detail),
        };
        next = pool.update(|state| {
            let now = clock.now();
            state.on_probe(lease, &result, now);
            detail.iter().for_each(|detail| state.describe_failure(server, detail, now));
            state.next_probe_due_before(started, now)
        });
    }
}

/// Starts probes whenever they are due, without end. For hosts that probe without traffic.
/// Completes only if the service has no health check.
pub async fn keep_probing<C: HttpClient, K: Clock>(pool: &Pool, client: &C, clock: &K) {
    /// The interval of attempts to start probes that are due while the largest number is in flight.
    const MIN_SLEEP: Duration = Duration::from_millis(100);
    /// The end of a probe, and failures in traffic, make the next probe due earlier.
    const MAX_SLEEP: Duration = Duration::from_millis(250);

    loop {
        client.start_probes();
        let now = clock.now();
        let Some(next) = pool.update(|state| state.next_probe_at(now)) else { return };
        clock.sleep(next.since(now).clamp(MIN_SLEEP, MAX_SLEEP)).await;
    }
}

/// One request in progress. When it is dropped, its attempts are canceled.
struct Run<'a, C: HttpClient, K: Clock> {
    pool: &'a Pool,
    client: &'a C,
    clock: &'a K,
    exchange: Exchange,
    attempts: [Option<Attempt>; 2],
}

/// What happened to a request in progress.
enum Event<R, E> {
    /// An attempt ended.
    Ended(usize, Result<R, SendError<E>>),
    /// A second attempt should start.
    Hedge(Attempt),
    /// A timer fired: the exchange decides again.
    Timer,
}

/// Why an attempt has no response.
enum SendError<E> {
    /// The client could not send it, or the server did not respond.
    Client(E),
    /// The exchange gave it up.
    GivenUp(Failure),
}

impl<E: UpstreamError> UpstreamError for SendError<E> {
    fn failure(&self) -> Failure {
        match self {
            Self::Client(error) => error.failure(),
            Self::GivenUp(failure) => *failure,
        }
    }

    fn detail(&self) -> Option<String> {
        match self {
            Self::Client(error) => error.detail(),
            Self::GivenUp(_) => None,
        }
    }
}

impl<C: HttpClient, K: Clock> Run<'_, C, K> {
    fn cancel_attempts(&mut self) {
        for attempt in self.attempts.iter_mut().filter_map(Option::take) {
            self.pool.update(|state| self.exchange.cancel(state, attempt, self.clock.now()));
        }
    }

    /// Waits for the next event of the attempts in flight.
    async fn next_event<F>(
        &mut self,
        sends: &mut [Pin<&mut Option<F>>; 2],
        body_sent: bool,
    ) -> Event<C::Response, C::Error>
    where
        F: Future<Output = Result<C::Response, C::Error>>,
    {
        // A response that has arrived counts, however late this is: the process may have been
        // suspended.
        if let Some(ended) = poll_fn(|context| Poll::Ready(poll_sends(sends, context))).await {
            return ended;
        }
        let (mut time, mut probe) = (Duration::MAX, false);
        for (slot, attempt) in self.attempts.iter_mut().enumerate() {
            let Some(attempt) = attempt else { continue };
            match self.pool.update(|state| self.exchange.wait(state, attempt, body_sent, self.clock.now())) {
                Wait::Sleep(sleep) => time = time.min(sleep),
                Wait::Probe(sleep) => (time, probe) = (time.min(sleep), true),
                Wait::GiveUp(failure) => return Event::Ended(slot, Err(SendError::GivenUp(failure))),
            }
        }
        if probe {
            self.client.start_probes();
        }
        if let [Some(attempt), None] | [None, Some(attempt)] = &self.attempts
            && let Some(hedge) = self.pool.update(|state| self.exchange.hedge(state, attempt, self.clock.now()))
        {
            return Event::Hedge(hedge);
        }
        let mut timer = pin!(self.clock.sleep(time));
        poll_fn(|context| {
            if let Some(ended) = poll_sends(sends, context) {
                return Poll::Ready(ended);
            }
            timer.as_mut().poll(context).map(|()| Event::Timer)
        })
        .await
    }

    /// Returns the result of an attempt with a response, and the cause if it is a failure.
    fn result(&self, response: &C::Response) -> (AttemptResult, Option<String>) {
        let retry_after = || {
            let value = self.client.header(response, "retry-after")?;
            parse_retry_after(&value, self.clock.unix_time())
        };
        let status = self.client.status(response);
        if let Err(failure) = self.exchange.request().check_response(status, self.client.is_websocket(response)) {
            return (Outcome::Failed(failure).into(), Some(Outcome::Status(status).to_string()));
        }
        let retry_after = status.is_server_error().then(retry_after).flatten();
        (AttemptResult { outcome: Outcome::Status(status), retry_after }, None)
    }

    /// Returns the failure of an attempt that ended without a response of the application.
    fn failed(&self, info: AttemptInfo, outcome: Outcome, detail: Option<String>) -> Option<FailedAttempt> {
        let is_answered = matches!(outcome, Outcome::Status(_))
            && self.pool.service().retry.classify(outcome).delivery == Delivery::Answered;
        (!is_answered).then(|| {
            let duration = self.clock.now().since(info.started);
            FailedAttempt { info, outcome, detail, duration }
        })
    }
}

impl<C: HttpClient, K: Clock> Drop for Run<'_, C, K> {
    fn drop(&mut self) {
        self.cancel_attempts();
        if !self.exchange.is_finished() {
            self.pool.update(|state| self.exchange.abandon(state, self.clock.now()));
        }
        // The request, or its early end, may have made probes due.
        self.client.start_probes();
    }
}

/// Polls the sends in flight. Returns the first that has ended.
fn poll_sends<F, R, E>(sends: &mut [Pin<&mut Option<F>>; 2], context: &mut Context<'_>) -> Option<Event<R, E>>
where
    F: Future<Output = Result<R, E>>,
{
    sends.iter_mut().enumerate().find_map(|(slot, send)| match send.as_mut().as_pin_mut()?.poll(context) {
        Poll::Ready(sent) => Some(Event::Ended(slot, sent.map_err(SendError::Client))),
        Poll::Pending => None,
    })
}

/// Probes one server. A missing response in time is a result, too.
async fn probe<C: HttpClient, K: Clock>(pool: &Pool, client: &C, clock: &K, id: ServerId) -> DetailedProbeResult {
    let service = pool.service();
    let (Some(check), Some(server)) = (service.health_check_of(id), service.server(id)) else {
        return Err((Failure::InvalidRequest, None));
    };
    let exchange = async {
        if check.kind == ProbeKind::Tcp {
            client.connect(server, &check.address(server)).await.map_err(|failure| (failure, None))?;
            return Ok(ProbeResponse::new(StatusCode::OK));
        }
        let response =
            client.send_probe(server, ProbeRequest::new(check, server, &service.host)).await.map_err(|e| cause(&e))?;
        read_probe_response(client, check, response).await
    };
    let (mut exchange, mut timeout) = (pin!(exchange), pin!(clock.sleep(check.timeout)));
    poll_fn(|context| match exchange.as_mut().poll(context) {
        Poll::Ready(result) => Poll::Ready(result),
        Poll::Pending => timeout.as_mut().poll(context).map(|()| Err((Failure::Timeout, None))),
    })
    .await
}

/// The result of a probe, and the cause of a failure as the host knows it.
type DetailedProbeResult = Result<ProbeResponse, (Failure, Option<String>)>;

/// Reads of a probe's response what the health check evaluates.
async fn read_probe_response<C: HttpClient>(
    client: &C,
    check: &HealthCheck,
    response: C::Response,
) -> DetailedProbeResult {
    let headers = ProbeResponse::read(check, client.status(&response), |name| client.header(&response, name));
    if check.expect_body.is_none() {
        client.discard(response);
        return Ok(headers);
    }
    let body = client.read_prefix(response, HealthCheck::BODY_LIMIT).await.map_err(|error| cause(&error))?;
    Ok(headers.with_body(&body))
}

fn cause(error: &impl UpstreamError) -> (Failure, Option<String>) {
    (error.failure(), error.detail())
}

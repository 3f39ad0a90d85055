//! One request's way through the proxy.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use http::header::{ACCEPT, CONNECTION, CONTENT_LENGTH, HOST, HeaderName, HeaderValue, UPGRADE};
use http::{Method, Request, Response, StatusCode, Version};
use http_body::Body as _;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tunnel_balancer_core::{
    self as core, BufferPermit, Clock, LocalReply, Pool, ProxiedRequest, ReplayBuffer, ReplyContext, RequestId,
    Services, headers,
};

use crate::access::{self, Access};
use crate::body::{BodyError, From, ProxyBody, RequestBody, Timed};
use crate::clock::TokioClock;
use crate::log::Log;
use crate::options::Limits;
use crate::outgoing::{self, Outgoing};
use crate::peer::{Peer, TrustedProxies};
use crate::probes::Watch;
use crate::tunnel;
use crate::upstream::{Servers, Upstream};

/// Answers requests by sending them to the servers of their services.
#[derive(Debug)]
pub struct Proxy {
    services: RwLock<Arc<Services>>,
    upstream: Arc<Upstream>,
    trusted: TrustedProxies,
    limits: Limits,
    pub(crate) log: Log,
    pub(crate) clock: TokioClock,
    /// What goes on beside requests, or after them.
    pub(crate) tasks: TaskTracker,
    /// Has all of that end where it is.
    pub(crate) cut: CancellationToken,
}

impl Proxy {
    /// A proxy for these services.
    ///
    /// # Errors
    /// When the machine has no root certificates to know servers by.
    pub fn new(
        services: impl IntoIterator<Item = core::Service>,
        trusted: TrustedProxies,
        limits: Limits,
        log: Log,
    ) -> std::io::Result<Self> {
        let services = Services::new(services, fastrand::u64(..));
        Ok(Self {
            services: RwLock::new(Arc::new(services)),
            upstream: Arc::new(Upstream::new()?),
            trusted,
            limits,
            log,
            clock: TokioClock::new(),
            tasks: TaskTracker::new(),
            cut: CancellationToken::new(),
        })
    }

    /// The services as they are now.
    pub fn services(&self) -> Arc<Services> {
        Arc::clone(&self.services.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Serves by a new configuration from now on. What is known of servers that are still the same
    /// is kept, and requests under way end as they began.
    pub fn reload(&self, services: impl IntoIterator<Item = core::Service>) {
        let new = self.services().reloaded(services, fastrand::u64(..), self.clock.now());
        *self.services.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(new);
    }

    /// Checks the servers of all services as they are now, until what it returns is dropped. To be
    /// called again after [`reload`](Self::reload).
    pub fn watch(self: &Arc<Self>) -> Watch {
        Watch::over(self)
    }

    /// Answers one request. Dropping the future, as a server does when its client goes away, ends
    /// the attempt under way.
    pub async fn answer(self: &Arc<Self>, mut request: Request<Incoming>, peer: Peer) -> Response<ProxyBody> {
        let id = RequestId::random(fastrand::u64(..));
        let client = self.trusted.client(peer, request.headers()).to_string();
        let mut access = Access::new(&self.log, &self.cut, &id, client.clone(), &request);
        let context = ReplyContext::new(text(&request, ACCEPT), id);
        let Some(authority) = authority(&request) else {
            return answer(&context, LocalReply::BadRequest, None, access);
        };
        access.line.host = access::shortened(&authority);
        let has_hop = request.headers().contains_key(headers::LOOP_HEADER);
        let version = request.version();
        let upgrade = outgoing::strip(request.headers_mut(), version);
        self.trusted.correct(request.headers_mut(), &client);

        let services = self.services();
        let path_and_query = request.uri().path_and_query().map_or("/", |path| path.as_str()).to_owned();
        let matched = match services.route_parts(peer.scheme, &authority, &path_and_query, has_hop) {
            Ok(matched) => matched,
            Err(problem) => return answer(&context, problem, None, access),
        };
        let pool = Arc::clone(matched.pool);
        access.line.service = Some(pool.service().name());
        let Ok(inbound) = ProxiedRequest::new(matched, request.headers(), Some(client)) else {
            return answer(&context, LocalReply::BadRequest, Some(&pool), access);
        };

        let to_client = upgrade.then(|| hyper::upgrade::on(&mut request));
        let (parts, body) = request.into_parts();
        let room = Room::take(&services.replay, &body, &pool, self.clock.now());
        let Some(body) = self.body(body, room.is_some(), pool.service().retry.timeout).await else {
            return answer(&context, LocalReply::Incomplete, Some(&pool), access);
        };
        // Only what is kept needs room.
        let room = room.filter(|_| matches!(body, RequestBody::Kept(_)));
        let outgoing = Outgoing::new(parts.method, parts.headers, inbound.clone(), body, upgrade);
        let Ok(meta) = outgoing.meta() else {
            return answer(&context, LocalReply::BadRequest, Some(&pool), access);
        };
        let servers = self.servers(&pool);
        let forwarded = core::forward(&pool, &servers, &self.clock, outgoing, meta).await;
        drop(room);
        self.log.changes(&pool);
        access.line.attempts = forwarded.attempts;
        access.line.fallback = forwarded.last_resort;
        match (forwarded.response, forwarded.served_by) {
            (Ok(mut response), Some(server)) => {
                access.line.server = pool.service().server(server).map(|server| server.name.clone());
                let from = From { pool, server, clock: self.clock, seat: response.extensions_mut().remove() };
                self.present(response, &inbound, from, forwarded.last_resort, to_client, &context, access)
            }
            (Err(problem), _) => answer(&context, problem, Some(&pool), access),
            (Ok(_), None) => answer(&context, LocalReply::unavailable(Duration::ZERO), Some(&pool), access),
        }
    }

    /// Runs a task that is waited for in the end, and cut when that takes too long.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(self.cut.clone().run_until_cancelled_owned(task));
    }

    /// The servers of a pool, as the core sends requests and probes to them.
    pub(crate) fn servers(&self, pool: &Arc<Pool>) -> Servers {
        Servers {
            upstream: Arc::clone(&self.upstream),
            pool: Arc::clone(pool),
            clock: self.clock,
            log: self.log.clone(),
        }
    }

    /// The body of a request, read when it is to be kept. `None` when it does not come to its end.
    ///
    /// Its room in memory is counted until `deadline`. What has not come by then is streamed, after
    /// what has.
    async fn body(&self, body: Incoming, keep: bool, deadline: Duration) -> Option<RequestBody> {
        if body.is_end_stream() {
            return Some(RequestBody::Empty);
        }
        let mut body = Timed::new(body, self.limits.idle);
        if !keep {
            return Some(RequestBody::stream(body));
        }
        let mut read = Vec::new();
        let rest = async {
            while let Some(frame) = body.frame().await {
                if let Ok(data) = frame?.into_data() {
                    read.extend_from_slice(&data);
                }
            }
            Ok::<_, BodyError>(())
        };
        match tokio::time::timeout(deadline, rest).await {
            Ok(Ok(())) => Some(RequestBody::Kept(Full::new(read.into()))),
            Ok(Err(_)) => None,
            Err(_) => Some(RequestBody::stream(body.after(read.into()))),
        }
    }

    /// A server's response as the client gets it.
    #[expect(clippy::too_many_arguments, reason = "all that is known of a request at its end")]
    fn present(
        &self,
        mut response: Response<Incoming>,
        inbound: &ProxiedRequest,
        from: From,
        last_resort: bool,
        to_client: Option<OnUpgrade>,
        context: &ReplyContext,
        mut access: Access,
    ) -> Response<ProxyBody> {
        let switched = response.status() == StatusCode::SWITCHING_PROTOCOLS;
        let to_server = switched.then(|| hyper::upgrade::on(&mut response));
        let (mut parts, body) = response.into_parts();
        let edited = headers::remove_hop_by_hop(&mut parts.headers)
            .and_then(|()| inbound.prepare_response(&mut parts.headers, from.server, last_resort));
        if edited.is_err() {
            return answer(context, LocalReply::unavailable(Duration::ZERO), Some(&from.pool), access);
        }
        // Chunks have counted then, not the length beside them.
        if body.size_hint().exact().is_none() {
            parts.headers.remove(CONTENT_LENGTH);
        }
        access.answered(parts.status);
        // The version is that of a connection, too.
        parts.version = Version::default();
        match (to_client, to_server) {
            (Some(to_client), Some(to_server)) => {
                parts.headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
                parts.headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
                self.spawn(tunnel::join(to_client, to_server, access, self.limits.idle));
                Response::from_parts(parts, ProxyBody::empty())
            }
            // A protocol that nobody asked for.
            (None, Some(_)) => answer(context, LocalReply::unavailable(Duration::ZERO), Some(&from.pool), access),
            (_, None) => Response::from_parts(
                parts,
                ProxyBody::of_server(Timed::new(body, self.limits.answer_idle), from, access),
            ),
        }
    }
}

/// A local reply.
fn answer(context: &ReplyContext, reply: LocalReply, pool: Option<&Pool>, mut access: Access) -> Response<ProxyBody> {
    let answer = context.respond(reply, pool.map(Pool::service));
    access.answered(answer.status);
    access.line.problem = Some(reply.code());
    let mut response = Response::new(ProxyBody::own(answer.body, access));
    *response.status_mut() = answer.status;
    for (name, value) in answer.headers {
        if let Ok(value) = HeaderValue::from_str(&value) {
            response.headers_mut().insert(HeaderName::from_static(name), value);
        }
    }
    response
}

/// Room for a body, given back whichever way the request ends.
struct Room(Arc<ReplayBuffer>, Option<BufferPermit>);

impl Room {
    fn take(memory: &Arc<ReplayBuffer>, body: &Incoming, pool: &Pool, now: core::Timestamp) -> Option<Self> {
        if body.is_end_stream() {
            return None;
        }
        let reservation = memory.reserve(body.size_hint().exact(), &pool.service().retry, now)?;
        Some(Self(Arc::clone(memory), Some(reservation)))
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        if let Some(reservation) = self.1.take() {
            self.0.release(reservation);
        }
    }
}

/// Whom a request is for: the authority of its target, else the one `Host` (RFC 9112, section 3.2).
/// `None` when that is not clear, and for `CONNECT`, which asks for a tunnel to anywhere.
fn authority<B>(request: &Request<B>) -> Option<String> {
    if request.method() == Method::CONNECT {
        return None;
    }
    let mut hosts = request.headers().get_all(HOST).iter();
    let (first, second) = (hosts.next(), hosts.next());
    if second.is_some() {
        return None;
    }
    let host = first.map(|host| host.to_str().ok()).unwrap_or_default();
    request.uri().authority().map(|authority| authority.as_str()).or(host).map(str::to_owned)
}

fn text<B>(request: &Request<B>, name: HeaderName) -> Option<String> {
    Some(request.headers().get(name)?.to_str().ok()?.to_owned())
}

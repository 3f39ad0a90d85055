//! The path of a request through the proxy.

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use http::header::{ACCEPT, CONNECTION, CONTENT_LENGTH, HOST, HeaderName, HeaderValue, TRAILER, UPGRADE};
use http::{Method, Request, Response, StatusCode, Version};
use http_body::Body as _;
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tunnel_balancer_core::{
    self as core, Clock, LocalReply, LogEntry, Pool, ProxiedRequest, ReplyContext, RequestId, Services, headers,
};
use tunnel_balancer_state::Inspection;
use tunnel_balancer_state::control::Tokens;
use tunnel_balancer_tokio::TokioClock;
use tunnel_balancer_tokio::host::{
    BufferGuard, RequestBody, ResponseOrigin, UpstreamBody, UpstreamRequest, sanitize, unite_lengths,
};

use crate::access::Access;
use crate::body::ProxyBody;
use crate::descriptors::Shares;
use crate::exchanges::Exchanges;
use crate::health_checker::HealthChecker;
use crate::log::{self, LogWriter};
use crate::options::Limits;
use crate::peer::{Peer, TrustedProxies, is_private};
use crate::request_slots::RequestSlots;
use crate::transitions::Transitions;
use crate::upgrade;
use crate::upstream::{LoggedRequest, Servers, Upstream};

/// Serves requests by forwarding them to the servers of their services.
#[derive(Debug)]
pub struct Proxy {
    services: RwLock<Arc<Services>>,
    /// Whether a newer configuration was rejected.
    config_rejected: AtomicBool,
    upstream: Upstream,
    trusted: TrustedProxies,
    limits: Limits,
    shares: Shares,
    slots: RequestSlots,
    access_log: Option<LogWriter>,
    /// What requests need for a trace or a drill.
    tokens: RwLock<Arc<Tokens>>,
    pub(crate) clock: TokioClock,
    /// The tasks of connections and WebSockets.
    pub(crate) tasks: TaskTracker,
    /// Aborts these tasks.
    pub(crate) abort: CancellationToken,
    /// The exchanges of health with a Worker.
    pub(crate) exchanges: Exchanges,
    /// Canceled when probes may start.
    ready_to_probe: RwLock<CancellationToken>,
}

impl Proxy {
    /// Creates a proxy for these services. Requests are written to `access_log`. Events are emitted
    /// through `tracing`: see [`LogLayer`](crate::LogLayer).
    ///
    /// # Errors
    /// If the root certificates of the machine cannot be read.
    pub fn new(
        services: Services,
        trusted: TrustedProxies,
        limits: Limits,
        access_log: Option<LogWriter>,
    ) -> std::io::Result<Self> {
        let shares = Shares::of_process(&limits);
        let ready_to_probe = CancellationToken::new();
        ready_to_probe.cancel();
        Ok(Self {
            services: RwLock::new(Arc::new(services)),
            config_rejected: AtomicBool::new(false),
            exchanges: Exchanges::default(),
            upstream: Upstream::new(shares.idle)?,
            trusted,
            limits,
            shares,
            slots: RequestSlots::new(shares.requests),
            access_log,
            tokens: RwLock::default(),
            clock: TokioClock::new(),
            tasks: TaskTracker::new(),
            abort: CancellationToken::new(),
            ready_to_probe: RwLock::new(ready_to_probe),
        })
    }

    /// Allows traces and drills to requests with these tokens. By default there are none.
    pub fn set_tokens(&self, tokens: Tokens) {
        *self.tokens.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(tokens);
    }

    /// Returns the current services.
    pub fn services(&self) -> Arc<Services> {
        Arc::clone(&self.services.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Replaces the services. Unchanged servers keep their state, and requests in flight finish
    /// with the previous services. `without_secrets` are the addresses of services that cannot
    /// serve.
    pub fn reload(&self, services: impl IntoIterator<Item = core::Service>, without_secrets: &[String]) {
        self.upstream.forget_certificates();
        self.config_rejected.store(false, Ordering::Relaxed);
        self.replace_services(services, without_secrets);
    }

    /// Replaces the services by changed ones. The configuration is the same.
    pub(crate) fn replace_services(
        &self,
        services: impl IntoIterator<Item = core::Service>,
        without_secrets: &[String],
    ) {
        let new = self.services().reloaded(services, fastrand::u64(..), self.clock.now());
        let new = new.with_missing_secrets(without_secrets);
        *self.services.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(new);
    }

    /// Marks responses: the newest configuration is invalid, and the previous one is in use.
    pub(crate) fn set_config_rejected(&self) {
        self.config_rejected.store(true, Ordering::Relaxed);
    }

    /// Returns whether the newest configuration is invalid.
    pub(crate) fn is_config_rejected(&self) -> bool {
        self.config_rejected.load(Ordering::Relaxed)
    }

    /// Lets traffic return to all servers of some services that `failback` holds back.
    pub(crate) fn release_failback(&self, is_selected: impl Fn(&core::Service) -> bool) {
        for pool in self.services().pools().filter(|pool| is_selected(pool.service())) {
            pool.update(|state| state.release_failback(self.clock.now()));
            self.upstream.transitions.emit(pool);
        }
    }

    /// Starts to probe the servers of the current services, until the returned value is dropped.
    /// Must be called again after [`reload`](Self::reload).
    pub fn start_health_checks(self: &Arc<Self>) -> HealthChecker {
        HealthChecker::start(self)
    }

    /// Starts later probes when `ready` is canceled.
    pub(crate) fn probe_after(&self, ready: CancellationToken) {
        *self.ready_to_probe.write().unwrap_or_else(PoisonError::into_inner) = ready;
    }

    /// Returns a token that is canceled when probes may start.
    pub(crate) fn ready_to_probe(&self) -> CancellationToken {
        self.ready_to_probe.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns the state changes of all servers.
    pub(crate) fn transitions(&self) -> &Transitions {
        &self.upstream.transitions
    }

    /// Returns the shares of the file descriptors.
    pub(crate) const fn shares(&self) -> Shares {
        self.shares
    }

    /// Returns whether the connections and requests of an address are limited.
    pub(crate) fn is_limited(&self, client: IpAddr) -> bool {
        !self.is_exempt(client) && !self.trusted.contains(client)
    }

    /// Returns whether the address of a client may belong to many.
    fn is_exempt(&self, client: IpAddr) -> bool {
        self.limits.connections_per_client.is_none() && is_private(client)
    }

    /// Returns whether no request slot is free, so that further requests wait.
    pub(crate) fn are_requests_waiting(&self) -> bool {
        self.slots.are_taken()
    }

    /// Serves one request. Dropping the future, as when the client disconnects, cancels the
    /// attempts in flight.
    pub async fn handle(self: &Arc<Self>, request: Request<Incoming>, peer: Peer) -> Response<ProxyBody> {
        let mut response = self.respond(request, peer).await;
        if self.is_config_rejected() {
            response.headers_mut().insert(headers::CONFIG_HEADER, HeaderValue::from_static("fallback"));
        }
        response
    }

    async fn respond(self: &Arc<Self>, mut request: Request<Incoming>, peer: Peer) -> Response<ProxyBody> {
        let assigned = self.trusted.request_id(peer, request.headers());
        let id = assigned.unwrap_or_else(|| RequestId::random(fastrand::u64(..)));
        let client = self.trusted.client(peer, request.headers());
        let (client_ip, authority) = (client.to_string(), authority(&request, &self.services()));
        let (log, host) = (self.access_log.as_ref(), authority.as_deref());
        let mut access = Access::new(log, &self.abort, &id, &client_ip, host, &request);
        let context = ReplyContext::new(text(&request, ACCEPT), id);
        if request.method() == Method::CONNECT {
            return local_reply(&context, LocalReply::MethodNotAllowed, None, access);
        }
        let limited = Some(client).filter(|client| self.is_limited(*client));
        access.slot = self.slots.take(limited, self.limits.idle).await;
        if access.slot.is_none() {
            return local_reply(&context, LocalReply::Overloaded, None, access);
        }
        let Some(authority) = authority else {
            return local_reply(&context, LocalReply::BadRequest, None, access);
        };
        let services = self.services();
        if headers::has_unknown_coding(request.headers()).unwrap_or(true) {
            return local_reply(&context, LocalReply::BadRequest, None, access);
        }
        let has_hop = request.headers().contains_key(headers::LOOP_HEADER);
        let version = request.version();
        let upgrade = sanitize(request.headers_mut(), version);
        self.trusted.set_client_ip(request.headers_mut(), &client_ip);

        let path_and_query = request.uri().path_and_query().map_or("/", |path| path.as_str());
        let matched = match services.route_parts(peer.scheme, &authority, path_and_query, has_hop) {
            Ok(matched) => matched,
            Err(reply) => {
                let context = context.with_similar_hosts(services.similar_hosts(&authority));
                return local_reply_to_host(&context, reply, None, Some(&authority), access);
            }
        };
        let pool = Arc::clone(matched.pool);
        access.line.pool = Some(Arc::clone(&pool));
        let Ok(proxied) = ProxiedRequest::new(matched, request.headers(), Some(client_ip)) else {
            return local_reply(&context, LocalReply::BadRequest, Some(&pool), access);
        };
        let now = u64::try_from(self.clock.unix_time().as_millis()).unwrap_or(u64::MAX);
        let tokens = Arc::clone(&self.tokens.read().unwrap_or_else(PoisonError::into_inner));
        let inspection = Inspection::read(request.headers(), &tokens, pool.service(), now).unwrap_or_default();
        let proxied = Arc::new(proxied.with_id(context.id().clone()));

        let to_client = upgrade.then(|| hyper::upgrade::on(&mut request));
        let (parts, body) = request.into_parts();
        let limited = proxied.client_ip.as_deref().filter(|_| !self.is_exempt(client));
        let buffer = BufferGuard::take(&services.replay, &body, limited, &pool, self.clock);
        let (timeout, idle) = (pool.service().retry.timeout, self.limits.idle);
        let Some(body) = RequestBody::read(body, buffer.as_ref(), timeout, idle).await else {
            return local_reply(&context, LocalReply::Incomplete, Some(&pool), access);
        };
        // A body that is streamed after all releases its room.
        let buffer = buffer.filter(|_| matches!(body, RequestBody::Buffered(..)));
        let request = UpstreamRequest::new(parts, Arc::clone(&proxied), body, upgrade);
        let Ok(mut meta) = request.meta() else {
            return local_reply(&context, LocalReply::BadRequest, Some(&pool), access);
        };
        meta.trace = inspection.is_traced();
        let request = LoggedRequest { request, last_attempt: access.last_attempt() };
        let (pool, mut forwarded) = self.forward(pool, request, meta, inspection.drill(), context.id()).await;
        drop(buffer);
        let (trace, result) = (forwarded.trace.take(), forwarded.result());
        access.line.last_resort = forwarded.last_resort;
        access.line.server = forwarded.served_by.or(forwarded.last_tried);
        let used = Arc::clone(&pool);
        let mut response = match (forwarded.response, forwarded.served_by) {
            (Ok(mut response), Some(server)) => {
                let origin =
                    ResponseOrigin { pool, server, clock: self.clock, slot: response.extensions_mut().remove() };
                self.present(response, &proxied, origin, forwarded.last_resort, to_client, &context, access)
            }
            (Err(reply), _) => local_reply(&context, reply, Some(&pool), access),
            (Ok(_), None) => local_reply(&context, LocalReply::unavailable(Duration::ZERO), Some(&pool), access),
        };
        // Values that a header cannot have are left out.
        let _ = inspection.add_headers(response.headers_mut(), trace.as_deref(), used.service(), result);
        response
    }

    /// Spawns a task that shutdown waits for, and aborts at the drain timeout.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(self.abort.clone().run_until_cancelled_owned(task));
    }

    /// Returns the client for the servers of a pool.
    pub(crate) fn servers(&self, pool: &Arc<Pool>) -> Servers {
        self.upstream.servers(pool, self.clock)
    }

    /// Returns the response for the client.
    #[expect(clippy::too_many_arguments, reason = "the whole context of a request")]
    fn present(
        &self,
        mut response: Response<Incoming>,
        proxied: &ProxiedRequest,
        origin: ResponseOrigin,
        last_resort: bool,
        to_client: Option<OnUpgrade>,
        context: &ReplyContext,
        mut access: Access,
    ) -> Response<ProxyBody> {
        let switched = response.status() == StatusCode::SWITCHING_PROTOCOLS;
        let to_server = switched.then(|| hyper::upgrade::on(&mut response));
        let (mut parts, body) = response.into_parts();
        let trailer = parts.headers.remove(TRAILER);
        if headers::has_unknown_coding(&parts.headers).unwrap_or(true)
            || unite_lengths(&mut parts.headers).is_err()
            || proxied.prepare_response(&mut parts.headers, origin.server, last_resort).is_err()
        {
            return local_reply(context, LocalReply::InvalidResponse, Some(&origin.pool), access);
        }
        // The body was chunked, which overrides a length.
        if body.size_hint().exact().is_none() {
            parts.headers.remove(CONTENT_LENGTH);
            parts.headers.extend(trailer.map(|trailer| (TRAILER, trailer)));
        }
        access.on_response(parts.status);
        // The version belongs to the connection.
        parts.version = Version::default();
        match (to_client, to_server) {
            (Some(to_client), Some(to_server)) => {
                parts.headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
                parts.headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
                self.spawn(upgrade::relay(to_client, to_server, access, self.limits.idle));
                Response::from_parts(parts, ProxyBody::empty())
            }
            _ => Response::from_parts(
                parts,
                ProxyBody::upstream(UpstreamBody::new(body, self.limits.upstream_idle, origin), access),
            ),
        }
    }
}

/// Returns a local reply.
fn local_reply(context: &ReplyContext, reply: LocalReply, pool: Option<&Pool>, access: Access) -> Response<ProxyBody> {
    local_reply_to_host(context, reply, pool, None, access)
}

/// Returns a local reply. The log has the host if it is unknown.
fn local_reply_to_host(
    context: &ReplyContext,
    reply: LocalReply,
    pool: Option<&Pool>,
    host: Option<&str>,
    mut access: Access,
) -> Response<ProxyBody> {
    let rendered = context.respond(reply, pool.map(Pool::service));
    access.on_response(rendered.status);
    access.line.reason = Some(reply.into());
    let (service, server) = (pool.map(Pool::service), access.line.server_name());
    log::emit(&LogEntry::local_reply(reply, service, server, context, host));
    Response::<String>::from(rendered).map(|body| ProxyBody::local(body, access))
}

/// Returns the authority of the request target, or else the `Host` field (RFC 9112, section 3.2).
/// HTTP/1.0 requires neither: if all services have the same host, it is that one. `None` if it is
/// ambiguous.
fn authority<B>(request: &Request<B>, services: &Services) -> Option<String> {
    let mut hosts = request.headers().get_all(HOST).iter();
    let (first, second) = (hosts.next(), hosts.next());
    if second.is_some() {
        return None;
    }
    let default = || services.only_host().filter(|_| request.version() == Version::HTTP_10);
    let host = first.map_or_else(default, |host| host.to_str().ok());
    request.uri().authority().map(|authority| authority.as_str()).or(host).map(str::to_owned)
}

fn text<B>(request: &Request<B>, name: HeaderName) -> Option<String> {
    Some(request.headers().get(name)?.to_str().ok()?.to_owned())
}

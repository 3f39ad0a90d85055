//! The status endpoint of the proxy: on the admin listener, and on public hosts if `status` is
//! configured.
//!
//! Views are made by the [`Controller`](crate::control::Controller), which has the history.

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, HeaderName, HeaderValue};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tunnel_balancer_core::{Clock as _, Reason};
use tunnel_balancer_state::control::{Failures, Token};
use tunnel_balancer_status::{Endpoint, EndpointOutcome, StatusRequest, StatusResponse, StatusSettings, View};
use tunnel_balancer_tokio::TokioClock;

use crate::body::ProxyBody;
use crate::rejections::Rejections;

/// A view that is to be made.
#[derive(Debug)]
pub(crate) struct Viewing {
    pub(crate) view: View,
    pub(crate) reply: oneshot::Sender<StatusResponse>,
}

/// The endpoints of all listeners.
#[derive(Debug)]
pub(crate) struct StatusEndpoint {
    control: Option<Token>,
    admin: RwLock<Arc<Endpoint>>,
    public: RwLock<Option<Arc<Endpoint>>>,
    failures: Mutex<Failures>,
    views: mpsc::Sender<Viewing>,
    /// The last views that are the same for all readers. Locked while one is made, so that readers
    /// without a token never fill the channel.
    shared: tokio::sync::Mutex<SharedViews>,
    draining: AtomicBool,
    clock: TokioClock,
}

/// Views that are the same for all readers, and the time at which each was made.
#[derive(Debug, Default)]
struct SharedViews(Vec<(Instant, View, StatusResponse)>);

impl StatusEndpoint {
    /// The largest number of views that wait.
    const WAITING: usize = 64;

    /// Creates the endpoints, and the channel to the controller. `control` is the token of the
    /// admin listener.
    pub(crate) fn new(
        settings: Option<&StatusSettings>,
        control: Option<Token>,
        clock: TokioClock,
    ) -> (Arc<Self>, mpsc::Receiver<Viewing>) {
        let (views, receiver) = mpsc::channel(Self::WAITING);
        let endpoint = Self {
            admin: RwLock::new(Arc::new(Endpoint::admin(settings, control.clone()))),
            public: RwLock::new(Endpoint::new(settings, control.clone(), false).map(Arc::new)),
            control,
            failures: Mutex::default(),
            views,
            shared: tokio::sync::Mutex::default(),
            draining: AtomicBool::new(false),
            clock,
        };
        (Arc::new(endpoint), receiver)
    }

    /// Uses other settings.
    pub(crate) fn configure(&self, settings: Option<&StatusSettings>) {
        let admin = Arc::new(Endpoint::admin(settings, self.control.clone()));
        *self.admin.write().unwrap_or_else(PoisonError::into_inner) = admin;
        let public = Endpoint::new(settings, self.control.clone(), false).map(Arc::new);
        *self.public.write().unwrap_or_else(PoisonError::into_inner) = public;
    }

    /// Reports from now on that the proxy shuts down.
    pub(crate) fn set_draining(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// Returns whether the proxy shuts down.
    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// Returns the endpoint of the admin listener.
    pub(crate) fn admin(&self) -> Arc<Endpoint> {
        Arc::clone(&self.admin.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Responds to a request to a public host. `None` if it is one for a service.
    pub(crate) async fn respond_public<B>(
        &self,
        request: &Request<B>,
        client: IpAddr,
        rejections: &Rejections,
    ) -> Option<Response<ProxyBody>> {
        let public = self.public.read().unwrap_or_else(PoisonError::into_inner).clone()?;
        public.path(request.uri().path())?;
        let (method, uri, headers) = (request.method().clone(), request.uri().clone(), request.headers());
        let response = self.respond(&public, &method, &uri, headers, client, rejections).await;
        Some(to_http(response).map(ProxyBody::plain))
    }

    /// Responds to a request below the prefix of an endpoint.
    pub(crate) async fn respond(
        &self,
        endpoint: &Endpoint,
        method: &Method,
        uri: &http::Uri,
        headers: &HeaderMap,
        client: IpAddr,
        rejections: &Rejections,
    ) -> StatusResponse {
        // A value that is no text is a wrong token.
        let text = |name: HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or_default());
        let request = StatusRequest {
            method: method.as_str(),
            path: uri.path(),
            query: uri.query().unwrap_or_default(),
            authorization: text(AUTHORIZATION),
            accept: text(ACCEPT),
        };
        let now = u64::try_from(self.clock.unix_time().as_millis()).unwrap_or(u64::MAX);
        let received = {
            let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
            endpoint.receive(request, &mut failures, !self.is_draining(), now)
        };
        match received {
            EndpointOutcome::Response(response) => {
                if matches!(response.status, 401 | 429) {
                    rejections.add(Reason::Unauthorized, client, "the status page");
                }
                response
            }
            EndpointOutcome::View(view) => self.view(view).await,
        }
    }

    async fn view(&self, view: View) -> StatusResponse {
        if !view.is_public() {
            return self.new_view(view).await;
        }
        let mut shared = self.shared.lock().await;
        if let Some(response) = shared.get(&view, Instant::now()) {
            return response;
        }
        let response = self.new_view(view.clone()).await;
        shared.insert(view, &response, Instant::now());
        response
    }

    async fn new_view(&self, view: View) -> StatusResponse {
        let (reply, response) = oneshot::channel();
        // The controller ends when the proxy shuts down.
        if self.is_draining() || self.views.send(Viewing { view, reply }).await.is_err() {
            return StatusResponse::unavailable();
        }
        response.await.unwrap_or_else(|_| StatusResponse::unavailable())
    }
}

impl SharedViews {
    /// How long a view is used again.
    const LIFETIME: Duration = Duration::from_secs(1);

    fn get(&mut self, view: &View, now: Instant) -> Option<StatusResponse> {
        self.0.retain(|(at, ..)| now.duration_since(*at) < Self::LIFETIME);
        self.0.iter().find(|(_, known, _)| known == view).map(|(.., response)| response.clone())
    }

    /// Adds a view. Badges of unknown titles are left out: there is no limit to their number.
    fn insert(&mut self, view: View, response: &StatusResponse, now: Instant) {
        if response.status == 200 {
            self.0.push((now, view, response.clone()));
        }
    }
}

/// Returns a response of HTTP.
pub(crate) fn to_http(from: StatusResponse) -> Response<Bytes> {
    let mut http = Response::new(Bytes::from(from.body));
    *http.status_mut() = StatusCode::from_u16(from.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    for (name, value) in from.headers {
        if let Ok(value) = HeaderValue::try_from(value) {
            http.headers_mut().insert(HeaderName::from_static(name), value);
        }
    }
    http
}

#[cfg(test)]
mod tests {
    use super::*;

    fn public() -> Endpoint {
        let mut settings = StatusSettings::default();
        settings.public = true;
        Endpoint::new(Some(&settings), None, false).expect("an endpoint")
    }

    fn view(path: &str) -> View {
        let request = StatusRequest { method: "GET", path, ..StatusRequest::default() };
        match public().receive(request, &mut Failures::default(), true, 0) {
            EndpointOutcome::View(view) => view,
            EndpointOutcome::Response(response) => panic!("{response:?}"),
        }
    }

    #[test]
    fn every_public_view_is_shared_for_a_second() {
        let (report, badge) = (view("/__balancer/status.json"), view("/__balancer/badge/chat.svg"));
        let response = |body: &str| StatusResponse { status: 200, headers: Vec::new(), body: body.to_owned() };
        let (mut shared, now) = (SharedViews::default(), Instant::now());
        shared.insert(report.clone(), &response("report"), now);
        shared.insert(badge.clone(), &response("badge"), now);
        shared.insert(view("/__balancer/badge/unknown.svg"), &StatusResponse::not_found(), now);
        assert_eq!(shared.0.len(), 2);
        let later = now + Duration::from_millis(999);
        assert_eq!(shared.get(&report, later), Some(response("report")));
        assert_eq!(shared.get(&badge, later), Some(response("badge")));
        assert_eq!(shared.get(&report, now + Duration::from_secs(1)), None);
        assert!(shared.0.is_empty());
    }

    #[tokio::test]
    async fn a_token_that_is_no_text_is_wrong() {
        let (endpoint, _views) = StatusEndpoint::new(None, None, TokioClock::new());
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, HeaderValue::from_bytes(b"Bearer \xe4").expect("a value"));
        let (uri, client) = (http::Uri::from_static("/__balancer/status.json"), IpAddr::from([127, 0, 0, 1]));
        let rejections = Rejections::default();
        let response = endpoint.respond(&public(), &Method::GET, &uri, &headers, client, &rejections).await;
        assert_eq!(response.status, 401);
    }
}

//! The side of the Worker: it verifies messages, merges them and responds with its own health.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tunnel_balancer_core::{PoolState, Services, Timestamp};
use tunnel_balancer_state::{Inbox, PUSH_PATH, Push, SIGNATURE_HEADER, SharedState};
use tunnel_balancer_tests::proxy::MONITOR_KEY;
use tunnel_balancer_tests::within;
use tunnel_balancer_tests::yaml::Yaml;

/// A server that accepts messages.
pub(super) struct Worker {
    address: SocketAddr,
    shared: Arc<Shared>,
}

/// How it responds.
#[derive(Clone, Debug)]
pub(super) enum Mode {
    /// As a Worker does.
    Accept,
    /// Not at all.
    Hang,
    /// With a redirect to this URL.
    Redirect(String),
    /// As a Worker with another secret.
    OtherSecret,
    /// With more bytes than are read.
    TooLarge,
}

struct Shared {
    mode: Mutex<Mode>,
    inbox: Mutex<Inbox>,
    services: Services,
    /// The messages that were accepted.
    pushes: watch::Sender<Vec<Push>>,
    requests: watch::Sender<usize>,
}

impl Worker {
    /// Starts one with a configuration.
    pub(super) async fn start(yaml: impl Into<Yaml>) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port on loopback");
        let config = tunnel_balancer_config::parse(&yaml.into().0).expect("a valid configuration");
        let shared = Arc::new(Shared {
            mode: Mutex::new(Mode::Accept),
            inbox: Mutex::default(),
            services: Services::new(config.services, 1),
            pushes: watch::Sender::default(),
            requests: watch::Sender::default(),
        });
        let worker = Self { address: listener.local_addr().expect("it is bound"), shared: Arc::clone(&shared) };
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let shared = Arc::clone(&shared);
                let respond = service_fn(move |request| {
                    let shared = Arc::clone(&shared);
                    async move { Ok::<_, Infallible>(shared.respond(request).await) }
                });
                tokio::spawn(
                    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), respond),
                );
            }
        });
        worker
    }

    /// Returns its URL without a path.
    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Sets how it responds.
    pub(super) fn set(&self, mode: Mode) {
        *self.shared.mode.lock().expect("no panic while locked") = mode;
    }

    /// Waits until it has this number of requests.
    pub(super) async fn requests(&self, count: usize) {
        let mut requests = self.shared.requests.subscribe();
        within("requests to the Worker", requests.wait_for(|requests| *requests >= count)).await.expect("it is open");
    }

    /// Waits until the accepted messages have a result.
    pub(super) async fn until<T>(&self, what: &str, result: impl Fn(&[Push]) -> Option<T>) -> T {
        let mut pushes = self.shared.pushes.subscribe();
        let pushes = within(what, pushes.wait_for(|pushes| result(pushes).is_some())).await.expect("it is open");
        result(&pushes).expect("it has one")
    }
}

impl Shared {
    async fn respond(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        self.requests.send_modify(|requests| *requests += 1);
        assert_eq!((request.method().as_str(), request.uri().path()), ("POST", PUSH_PATH));
        let mode = self.mode.lock().expect("no panic while locked").clone();
        let key = match mode {
            Mode::Accept => MONITOR_KEY.1,
            Mode::OtherSecret => "the secret of another Worker",
            Mode::Hang => std::future::pending().await,
            Mode::Redirect(url) => {
                let redirect = Response::builder().status(302).header("Location", url);
                return redirect.body(Full::default()).expect("valid headers");
            }
            Mode::TooLarge => return Response::new(Full::from(vec![b' '; 2 << 20])),
        };
        let signature = request.headers().get(SIGNATURE_HEADER).and_then(|value| value.to_str().ok());
        let signature = signature.unwrap_or_default().to_owned();
        let body = request.into_body().collect().await.expect("a whole message").to_bytes();
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_millis() as u64;
        let accepted = self.inbox.lock().expect("no panic while locked").accept(key.as_bytes(), &signature, &body, now);
        match accepted {
            Ok(push) => {
                push.state.merge_into(&self.services, PoolState::MAX_FACT_AGE, Timestamp::from_millis(now));
                let state = SharedState::export(&self.services, "worker", Timestamp::from_millis(now));
                self.pushes.send_modify(|pushes| pushes.push(push));
                Response::new(Full::from(serde_json::to_vec(&state).expect("serializable")))
            }
            Err(error) => {
                let body = json!({ "error": "invalid_signature", "message": error.to_string() });
                let response = Response::builder().status(401).body(Full::from(body.to_string()));
                response.expect("valid headers")
            }
        }
    }
}

//! What the compiler must accept: `forward` is `Send` for a `Send` client and works for a client
//! that is not.
//!
//! The first half is also the test of the lock discipline: a guard kept across an `await` would
//! make the future `!Send`.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http::{Method, StatusCode};
use tunnel_balancer_core::{
    AttemptInfo, Clock, Failure, HttpClient, Lease, Pool, ProbeRequest, RequestMeta, Server, Timestamp, forward,
    keep_probing, run_probes,
};

/// A client and clock whose futures hold a `T` across an `await`: `Send` exactly if `T` is.
struct Holding<T>(T);

impl<T: Clone> HttpClient for Holding<T> {
    type Request = T;
    type Response = T;
    type Error = Failure;

    async fn send(&self, request: &T, _: &Server, _: AttemptInfo) -> Result<T, Failure> {
        let held = request.clone();
        std::future::ready(()).await;
        Ok(held)
    }

    async fn send_probe(&self, _: &Server, _: ProbeRequest) -> Result<T, Failure> {
        let held = self.0.clone();
        std::future::ready(()).await;
        Ok(held)
    }

    fn start_probes(&self) {}

    fn status(&self, _: &T) -> StatusCode {
        StatusCode::OK
    }

    fn header(&self, _: &T, _: &str) -> Option<String> {
        None
    }

    async fn read_prefix(&self, response: T, _: usize) -> Result<Vec<u8>, Failure> {
        std::future::ready(()).await;
        drop(response);
        Ok(Vec::new())
    }

    fn discard(&self, _: T) {}
}

impl<T: Clone> Clock for Holding<T> {
    fn now(&self) -> Timestamp {
        Timestamp::ZERO
    }

    fn unix_time(&self) -> Duration {
        Duration::ZERO
    }

    async fn sleep(&self, _: Duration) {
        let _held = self.0.clone();
        std::future::pending().await
    }
}

fn get() -> RequestMeta {
    RequestMeta::new(Method::GET)
}

fn spawn_on_a_thread_pool(_: impl Future<Output = ()> + Send + 'static) {}

fn spawn_on_this_thread(_: impl Future<Output = ()> + 'static) {}

#[test]
fn forward_is_send_for_a_send_client() {
    let request = |pool: Arc<Pool>, host: Arc<Holding<Arc<str>>>| async move {
        forward(&pool, &*host, &*host, Arc::from("request"), get()).await;
    };
    let probe = |pool: Arc<Pool>, host: Arc<Holding<Arc<str>>>, lease: Lease| async move {
        run_probes(&pool, &*host, &*host, lease).await;
        keep_probing(&pool, &*host, &*host).await;
    };
    let _compiles = |pool: Arc<Pool>, host: Arc<Holding<Arc<str>>>, lease| {
        spawn_on_a_thread_pool(request(Arc::clone(&pool), Arc::clone(&host)));
        spawn_on_a_thread_pool(probe(pool, host, lease));
    };
}

#[test]
fn forward_accepts_a_client_that_is_not_send() {
    let request = |pool: Rc<Pool>, host: Holding<Rc<str>>| async move {
        forward(&pool, &host, &host, Rc::from("request"), get()).await;
    };
    let _compiles = |pool, host| spawn_on_this_thread(request(pool, host));
}

//! Load balancing of HTTP requests on tokio and hyper: failover, health checks and retries.
//!
//! `tunnel-balancer-core` decides, and this crate sends. It has the clock, connections that are
//! reused, bodies that can be sent again, and probes beside requests.
//!
//! * [`Balancer`] is a client: a request goes to one server, or to several in turn until one
//!   responds.
//! * [`Proxy`] is a reverse proxy: it serves requests of clients.
//! * [`Dispatcher`] is for other protocols: a function of yours makes an attempt.
//! * With the feature `tower`, both are services, and `BalancerLayer` selects the server for
//!   another client.
//! * With the feature `reqwest`, `ReqwestBalancer` is a client of reqwest.
//!
//! All of them need a runtime of tokio with I/O and time enabled: outside of one, requests panic. A
//! request is canceled by dropping its future, which is possible anywhere and at any time.
//!
//! ```
//! use http::{Request, StatusCode};
//! use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
//! use tokio::net::TcpListener;
//! use tunnel_balancer_core::Pool;
//! use tunnel_balancer_tokio::{Balancer, Body};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let (down, up) = (TcpListener::bind("127.0.0.1:0").await?, TcpListener::bind("127.0.0.1:0").await?);
//! let servers = [down.local_addr()?, up.local_addr()?].map(|address| format!("http://{address}"));
//! drop(down);
//! tokio::spawn(async move {
//!     while let Ok((mut stream, _)) = up.accept().await {
//!         let _ = stream.read(&mut [0; 1024]).await;
//!         let _ = stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await;
//!     }
//! });
//!
//! let balancer = Balancer::new(Pool::of(servers)?)?;
//! let response = balancer.send(Request::get("/").body(Body::empty())?).await?;
//! assert_eq!(response.status(), StatusCode::NO_CONTENT);
//! # Ok(())
//! # }
//! ```

#![forbid(unsafe_code)]

/// Runs the example of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

mod balancer;
mod body;
mod clock;
mod connection_auth;
mod connector;
mod dispatcher;
mod error;
mod failed;
mod h2_streams;
mod idle_timeout;
#[cfg(feature = "tower")]
mod layer;
mod own;
mod pem;
mod probes;
mod proxy;
mod request_body;
#[cfg(feature = "reqwest")]
mod reqwest;
mod server_tls;
mod servers;
#[cfg(feature = "tower")]
mod tower;
mod transport;
mod upstream;
mod upstream_body;
mod upstream_request;

#[cfg(feature = "reqwest")]
pub use self::reqwest::ReqwestBalancer;
pub use balancer::{Balancer, Prober};
pub use body::Body;
pub use clock::TokioClock;
pub use dispatcher::Dispatcher;
pub use failed::Failed;
pub use idle_timeout::BodyError;
#[cfg(feature = "tower")]
pub use layer::{Balanced, BalancerLayer};
pub use proxy::Proxy;
#[cfg(feature = "tower")]
pub use tower::ClientIp;

/// The error of a body or of a service.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The parts of which `tunnel-balancer-native` is made. They are not a part of the stable
/// interface.
#[doc(hidden)]
pub mod host {
    pub use crate::h2_streams::StreamSlot;
    pub use crate::idle_timeout::{BodyError, IdleTimeoutBody};
    pub use crate::pem::{parse_certificates, read_pem, read_regular};
    pub use crate::request_body::{BufferGuard, ClientBody, RequestBody};
    pub use crate::server_tls::{certificate_error, client_config};
    pub use crate::servers::Servers;
    pub use crate::transport::Transport;
    pub use crate::upstream::{SendError, Upstream};
    pub use crate::upstream_body::{ResponseOrigin, UpstreamBody};
    pub use crate::upstream_request::{UpstreamRequest, sanitize, unite_lengths};

    pub mod error {
        //! Errors and their causes.
        pub use crate::error::{cause, chain, describe, is_http2_violation, is_local};
    }
}

//! The HTTP semantics that hosts share: from a request to its pool, and what servers and clients get to see.

pub mod headers;
pub mod host;
mod local_response;
mod replay;
mod request;
pub mod rewrite;
mod routes;

pub use local_response::{LocalResponse, RequestId};
pub use replay::{BufferPermit, ReplayBuffer};
pub use request::{ProxiedRequest, add_server_headers};
pub use routes::{RouteMatch, Services};

//! HTTP semantics that all hosts share: routing, headers, rewriting, buffered bodies and local
//! replies.

mod header_map;
pub mod headers;
pub mod host;
mod local_response;
mod probe;
mod replay;
mod request;
pub mod rewrite;
mod routes;
mod unread_headers;

pub use local_response::{LocalResponse, ReplyContext, RequestId};
pub use probe::{ProbeRequest, parse_retry_after};
pub use replay::{BufferPermit, ReplayBuffer};
pub use request::ProxiedRequest;
pub use routes::{RouteMatch, Services};

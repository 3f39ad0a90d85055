//! What only a program on a machine has: a file that changes, signals, sockets, and connections of
//! its own.

pub(crate) mod connections;
pub(crate) mod limits;
pub(crate) mod log;
pub(crate) mod reload;
pub(crate) mod shutdown;
pub(crate) mod smuggling;
pub(crate) mod sockets;
mod tls;

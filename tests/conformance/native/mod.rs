//! What only a program on a machine has: a file that changes, signals, sockets, and connections of
//! its own.

pub(crate) mod certificates;
pub(crate) mod connections;
pub(crate) mod control;
pub(crate) mod fidelity;
pub(crate) mod limits;
pub(crate) mod log;
pub(crate) mod notifications;
pub(crate) mod one_client;
pub(crate) mod reload;
pub(crate) mod restart;
pub(crate) mod servers;
pub(crate) mod shared_health;
pub(crate) mod shutdown;
mod sigv4;
pub(crate) mod smuggling;
pub(crate) mod sockets;
pub(crate) mod state_file;
pub(crate) mod status;
mod tls;
pub(crate) mod unprocessed;
pub(crate) mod unread;

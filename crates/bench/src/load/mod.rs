//! The load: servers that respond at once, and clients that count.

mod h2load;
mod open_loop;
mod origin;
mod requests;

pub(crate) use h2load::h2load;
pub(crate) use open_loop::OpenLoop;
pub(crate) use origin::Origin;
pub(crate) use requests::{Load, get, post};

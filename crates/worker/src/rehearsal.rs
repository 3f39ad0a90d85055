//! A request to a made-up service while the Worker is loaded.
//!
//! The engine of the runtime compiles a function when it is first called, which is most of the CPU
//! time of an isolate's first request. That time is limited, to 10 ms on the free plan, and the
//! time of loading is not part of it. So the functions of a request are called once before.
//!
//! The runtime permits no I/O then, so `js/glue.js` provides responses. Configuration and pool are
//! those of the rehearsal.

use std::cell::Cell;
use std::rc::Rc;

use worker::worker_sys::Context;
use worker::{Env, web_sys};

use crate::error::Result;
use crate::fetch::Incoming;
use crate::services::Loaded;
use crate::{glue, respond, respond_to, task};

/// The names exist nowhere (RFC 6761).
const SERVICES: &str = "services: {a.invalid: [b.invalid, c.invalid]}";

const URL: &str = "https://a.invalid/";

/// Headers that most requests have.
const HEADERS: [(&str, &str); 4] =
    [("accept", "*/*"), ("cf-connecting-ip", "192.0.2.1"), ("cf-ray", "rehearsal"), ("user-agent", "rehearsal")];

/// Handles the request, and probes beside it. Returns whether there is a response.
pub(crate) fn run(env: Env, context: Context) -> bool {
    let has_response = Rc::new(Cell::new(false));
    let result = Rc::clone(&has_response);
    glue::begin_rehearsal();
    task::start(async move { result.set(handle(env, context).await.is_ok_and(|response| response.status() == 200)) });
    glue::finish_rehearsal();
    has_response.get()
}

async fn handle(env: Env, context: Context) -> Result<web_sys::Response> {
    let request = web_sys::Request::new_with_str(URL)?;
    HEADERS.iter().try_for_each(|(name, value)| request.headers().set(name, value))?;
    let incoming = Incoming::new(request);
    let reply_context = respond::context(&incoming);
    let loaded = Loaded::of("rehearsal", SERVICES).ok_or("the configuration is invalid")?;
    // Tasks that never run could refer to it.
    let loaded = Box::leak(Box::new(loaded));
    respond_to(incoming, reply_context, loaded, env, context).await
}

//! Resets responses that a client does not read. Each of them holds memory and often a connection
//! to its server.
//!
//! An HTTP/2 client need not stop reading its connection: flow control stops single responses, and
//! pings still get a response. So each stream is a task. An HTTP/1.1 connection has one response at
//! a time, and is closed.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, sleep};

tokio::task_local! {
    /// The reader of the response of this task.
    static READER: Arc<Reader>;
}

/// What is known of the reader of one response, or of those of an HTTP/1.1 connection in turn.
#[derive(Debug, Default)]
pub(crate) struct Reader(Mutex<State>);

#[derive(Clone, Copy, Debug, Default)]
enum State {
    /// Data of the server is awaited.
    #[default]
    Ready,
    /// Data has waited for the client since then.
    Behind(Instant),
    /// The client has read nothing for too long.
    Stopped,
}

impl Reader {
    /// The largest piece of a body. The client has to read one within the idle timeout.
    pub(crate) const PIECE: usize = 16 * 1024;

    /// Returns the reader of the current task. `None`: it does not serve a client.
    pub(crate) fn current() -> Option<Arc<Self>> {
        READER.try_with(Arc::clone).ok()
    }

    /// Records that data of the server is awaited.
    pub(crate) fn on_wait_for_server(&self) {
        self.set(State::Ready);
    }

    /// Records the end of a response. The last piece of it may wait for the client, which the write
    /// timeout of the connection bounds. Returns whether the response was reset because the client
    /// did not read it.
    pub(crate) fn on_end(&self) -> bool {
        let has_stopped = matches!(self.get(), State::Stopped);
        if !has_stopped {
            self.set(State::Ready);
        }
        has_stopped
    }

    /// Records that data is ready for the client.
    pub(crate) fn on_data(&self) {
        self.set(State::Behind(Instant::now()));
    }

    fn set(&self, state: State) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = state;
    }

    fn get(&self) -> State {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The time between two checks of the limit.
pub(crate) const INTERVAL: Duration = Duration::from_millis(500);

/// Runs a stream or a connection to its end, or until its client has read nothing for the time that
/// `limit` returns. It is then dropped, which resets it.
pub(crate) async fn run(stream: impl Future, limit: impl Fn() -> Duration) {
    let reader = Arc::<Reader>::default();
    let mut stream = pin!(READER.scope(Arc::clone(&reader), stream));
    let mut timer = None;
    poll_fn(|context| {
        if stream.as_mut().poll(context).is_ready() {
            return Poll::Ready(());
        }
        loop {
            let State::Behind(since) = reader.get() else {
                timer = None;
                return Poll::Pending;
            };
            if since.elapsed() >= limit() {
                reader.set(State::Stopped);
                return Poll::Ready(());
            }
            ready!(timer.get_or_insert_with(|| Box::pin(sleep(INTERVAL))).as_mut().poll(context));
            timer = None;
        }
    })
    .await;
}

//! Results that JavaScript will have: of requests to servers, of other promises, and of timers.

use std::cell::RefCell;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use slab::Slab;
use worker::js_sys::Promise;
use worker::wasm_bindgen::prelude::wasm_bindgen;
use worker::wasm_bindgen::{self, JsValue};
use worker::web_sys::{Request, Response};

use crate::fields::Fields;
use crate::{glue, task};

thread_local! {
    static SLOTS: RefCell<Slab<Slot>> = const { RefCell::new(Slab::new()) };
}

/// The place of one result.
enum Slot {
    Waiting(Option<Waker>),
    Ready(Outcome),
}

enum Outcome {
    Response(Received),
    Value(JsValue),
    /// The message of an exception.
    Exception(String),
    Time,
}

/// A response, with what the core reads of it.
#[derive(Debug)]
pub(crate) struct Received {
    pub(crate) response: Response,
    pub(crate) status: u16,
    /// Whether it is the end of a WebSocket. The runtime keeps `Upgrade` to itself.
    pub(crate) is_websocket: bool,
    pub(crate) fields: Fields,
}

/// An operation of JavaScript. Dropping it cancels the operation.
struct Operation {
    slot: usize,
    /// What cancels it, until it has a result.
    canceler: Option<JsValue>,
}

impl Operation {
    fn new(start: impl FnOnce(usize) -> Result<JsValue, JsValue>) -> Result<Self, JsValue> {
        let slot = reserve();
        let canceler = start(slot).inspect_err(|_| release(slot))?;
        Ok(Self { slot, canceler: Some(canceler) })
    }

    fn poll(&mut self, context: &Context<'_>) -> Poll<Outcome> {
        let Some(outcome) = take(self.slot, context) else { return Poll::Pending };
        self.canceler = None;
        Poll::Ready(outcome)
    }
}

impl Drop for Operation {
    fn drop(&mut self) {
        if let Some(canceler) = &self.canceler {
            glue::cancel(canceler);
            release(self.slot);
        }
    }
}

/// A request to a server. Dropping it cancels the request.
pub(crate) struct Sent(Operation);

impl Sent {
    /// Sends a request by a function of `js/glue.js`, which gets the number of a slot.
    ///
    /// # Errors
    /// Those of the function.
    pub(crate) fn new(send: impl FnOnce(usize) -> Result<JsValue, JsValue>) -> Result<Self, JsValue> {
        Operation::new(send).map(Self)
    }

    /// Sends a request.
    ///
    /// # Errors
    /// If the runtime does not send it.
    pub(crate) fn request(request: &Request) -> Result<Self, JsValue> {
        Self::new(|slot| glue::send(slot, request))
    }
}

/// The response, or the message of the exception.
impl Future for Sent {
    type Output = Result<Received, String>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.poll(context).map(|outcome| match outcome {
            Outcome::Response(received) => Ok(received),
            outcome => Err(outcome.into_message()),
        })
    }
}

/// The value of a promise. Dropping it cancels what `js/body.js` does for it.
pub(crate) struct Value(Operation);

impl Value {
    /// Calls a function of `js/body.js`, which gets the number of a slot.
    ///
    /// # Errors
    /// Those of the function.
    pub(crate) fn new(start: impl FnOnce(usize) -> Result<JsValue, JsValue>) -> Result<Self, JsValue> {
        Operation::new(start).map(Self)
    }
}

/// The value, or the message of the exception.
impl Future for Value {
    type Output = Result<JsValue, String>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.poll(context).map(|outcome| match outcome {
            Outcome::Value(value) => Ok(value),
            outcome => Err(outcome.into_message()),
        })
    }
}

/// Waits for a promise.
pub(crate) async fn value_of(promise: &Promise) -> Result<JsValue, String> {
    let value = Value::new(|slot| Ok(glue::receive(slot, promise)));
    value.map_err(|_| String::new())?.await
}

/// A timer. Dropping it stops it.
pub(crate) struct Timer {
    slot: usize,
    id: Option<i32>,
}

impl Timer {
    pub(crate) fn new(milliseconds: u32) -> Self {
        let slot = reserve();
        Self { slot, id: Some(glue::start_timer(slot, milliseconds)) }
    }
}

impl Future for Timer {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if take(self.slot, context).is_none() {
            return Poll::Pending;
        }
        self.id = None;
        Poll::Ready(())
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            glue::stop_timer(id);
            release(self.slot);
        }
    }
}

/// Receives the response to a request.
#[wasm_bindgen]
#[expect(unreachable_pub, reason = "wasm-bindgen exports public functions only")]
pub fn complete(slot: usize, response: Response, status: u16, is_websocket: bool, lines: &str) {
    let fields = Fields::new(lines);
    settle(slot, Outcome::Response(Received { response, status, is_websocket, fields }));
}

/// Receives the value of a promise.
#[wasm_bindgen]
#[expect(unreachable_pub, reason = "wasm-bindgen exports public functions only")]
pub fn receive(slot: usize, value: JsValue) {
    settle(slot, Outcome::Value(value));
}

/// Receives the exception of a request, or of another promise.
#[wasm_bindgen]
#[expect(unreachable_pub, reason = "wasm-bindgen exports public functions only")]
pub fn fail(slot: usize, message: String) {
    settle(slot, Outcome::Exception(message));
}

/// Receives the end of a timer.
#[wasm_bindgen]
#[expect(unreachable_pub, reason = "wasm-bindgen exports public functions only")]
pub fn fire(slot: usize) {
    settle(slot, Outcome::Time);
}

impl Outcome {
    /// Returns the message of the exception.
    fn into_message(self) -> String {
        if let Self::Exception(message) = self { message } else { String::new() }
    }
}

fn reserve() -> usize {
    SLOTS.with_borrow_mut(|slots| slots.insert(Slot::Waiting(None)))
}

fn release(slot: usize) {
    let _ = SLOTS.with_borrow_mut(|slots| slots.try_remove(slot));
}

fn settle(slot: usize, outcome: Outcome) {
    let waiting = SLOTS.with_borrow_mut(|slots| Some(std::mem::replace(slots.get_mut(slot)?, Slot::Ready(outcome))));
    if let Some(Slot::Waiting(Some(waker))) = waiting {
        task::run_after(|| waker.wake());
    }
}

/// Takes the outcome, or registers the task of `context` for it.
fn take(slot: usize, context: &Context<'_>) -> Option<Outcome> {
    SLOTS.with_borrow_mut(|slots| match slots.get_mut(slot)? {
        Slot::Waiting(waker) => {
            waker.clone_from(&Some(context.waker().clone()));
            None
        }
        Slot::Ready(_) => match slots.try_remove(slot)? {
            Slot::Ready(outcome) => Some(outcome),
            Slot::Waiting(_) => None,
        },
    })
}

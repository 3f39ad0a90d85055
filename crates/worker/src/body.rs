//! The starts of bodies: of requests of unknown length, for a retry, and of the responses to
//! probes.
//!
//! Bytes of requests stay outside wasm. Behind the part that was read, the runtime itself copies
//! the stream.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

use tunnel_balancer_core::{Clock, ReplayBuffer};
use worker::js_sys::{self, ArrayBuffer, Reflect, Uint8Array};
use worker::wasm_bindgen::{JsCast, JsValue};
use worker::wasm_bindgen_futures::{JsFuture, spawn_local};
use worker::web_sys::{
    ReadableStream, ReadableStreamDefaultReader, Response, TransformStream, WritableStream, WritableStreamDefaultWriter,
};

use crate::clock::JsClock;

/// A body after its start was read.
pub(crate) enum Read {
    /// It has ended.
    Whole(ArrayBuffer),
    /// It has paused or exceeded the limit. The stream has all of it.
    Start(ReadableStream),
}

/// The part of a body that was read.
struct Start {
    reader: ReadableStreamDefaultReader,
    chunks: Vec<Uint8Array>,
    /// The read that waits for the next chunk.
    pending: Option<JsFuture>,
}

/// Reads a body until it ends, pauses or exceeds `limit`.
///
/// # Errors
/// If the client aborts it.
pub(crate) async fn read(body: &ReadableStream, limit: u64) -> Result<Read, JsValue> {
    let mut start = Start { reader: body.get_reader().unchecked_into(), chunks: Vec::new(), pending: None };
    let mut bytes = 0;
    while u64::from(bytes) <= limit {
        let mut read = JsFuture::from(start.reader.read());
        let Some(chunk) = before_pause(&mut read).await else {
            start.pending = Some(read);
            break;
        };
        let Some(chunk) = data(&chunk?)? else { return Ok(Read::Whole(joined(&start.chunks, bytes))) };
        bytes += chunk.length();
        start.chunks.push(chunk);
    }
    // The runtime copies an `IdentityTransformStream` without JavaScript.
    let identity: js_sys::Function =
        Reflect::get(&js_sys::global(), &"IdentityTransformStream".into())?.unchecked_into();
    let pipe: TransformStream = Reflect::construct(&identity, &js_sys::Array::new())?.unchecked_into();
    let (body, writable) = (body.clone(), pipe.writable());
    spawn_local(async move {
        // The request to the server ends with the same error.
        let _ = start.copy(&body, &writable).await;
    });
    Ok(Read::Start(pipe.readable()))
}

impl Start {
    /// Writes the part that was read, and then lets the runtime copy the rest.
    async fn copy(mut self, body: &ReadableStream, writable: &WritableStream) -> Result<(), JsValue> {
        let writer = writable.get_writer()?;
        match self.write(&writer).await {
            Ok(true) => JsFuture::from(writer.close()).await?,
            Ok(false) => {
                self.reader.release_lock();
                writer.release_lock();
                JsFuture::from(body.pipe_to(writable)).await?
            }
            Err(error) => {
                // The cancellation fails only if the body has ended.
                let _ = self.reader.cancel();
                JsFuture::from(writer.abort_with_reason(&error)).await?
            }
        };
        Ok(())
    }

    /// Writes the part that was read. Returns whether it is the whole body.
    async fn write(&mut self, writer: &WritableStreamDefaultWriter) -> Result<bool, JsValue> {
        for chunk in self.chunks.drain(..) {
            JsFuture::from(writer.write_with_chunk(&chunk)).await?;
        }
        let Some(pending) = self.pending.take() else { return Ok(false) };
        let Some(chunk) = data(&pending.await?)? else { return Ok(true) };
        JsFuture::from(writer.write_with_chunk(&chunk)).await?;
        Ok(false)
    }
}

/// Waits for a read. `None`: the body pauses.
async fn before_pause(read: &mut JsFuture) -> Option<Result<JsValue, JsValue>> {
    let (mut read, mut pause) = (pin!(read), pin!(JsClock.sleep(ReplayBuffer::PAUSE)));
    poll_fn(|context| match read.as_mut().poll(context) {
        Poll::Ready(chunk) => Poll::Ready(Some(chunk)),
        Poll::Pending => pause.as_mut().poll(context).map(|()| None),
    })
    .await
}

/// Returns the data of the result of a read. `None` at the end of the body.
fn data(result: &JsValue) -> Result<Option<Uint8Array>, JsValue> {
    if Reflect::get(result, &"done".into())?.is_truthy() {
        return Ok(None);
    }
    Reflect::get(result, &"value".into())?.dyn_into().map(Some)
}

/// Joins chunks of `bytes` in total.
fn joined(chunks: &[Uint8Array], bytes: u32) -> ArrayBuffer {
    let (joined, mut end) = (Uint8Array::new_with_length(bytes), 0);
    for chunk in chunks {
        joined.set(chunk, end);
        end += chunk.length();
    }
    joined.buffer()
}

/// Reads the first `limit` bytes of a response's body, or all of a shorter one, and cancels the
/// rest. A body that is dropped before its end is canceled too.
pub(crate) async fn read_prefix(response: &Response, limit: usize) -> Result<Vec<u8>, JsValue> {
    let Some(body) = response.body() else { return Ok(Vec::new()) };
    let reader = CancelOnDrop(body.get_reader().unchecked_into());
    let mut bytes = Vec::new();
    while bytes.len() < limit {
        let Some(chunk) = data(&JsFuture::from(reader.0.read()).await?)? else { break };
        let wanted = u32::try_from(limit - bytes.len()).unwrap_or(u32::MAX);
        bytes.extend(chunk.subarray(0, wanted.min(chunk.length())).to_vec());
    }
    Ok(bytes)
}

/// Cancels a body on drop.
struct CancelOnDrop(ReadableStreamDefaultReader);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        // The cancellation fails only if the body has ended.
        let _ = self.0.cancel();
    }
}

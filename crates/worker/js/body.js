// Bodies that are read: of requests, so that a retry can send them again, and the starts of the
// responses to probes.
//
// The bytes of requests stay in JavaScript. Behind the part that was read, the runtime itself
// copies the stream.

import { receive } from './glue.js';

/** Reads the whole body of a request. `slot` gets an `ArrayBuffer`. */
export function readWhole(slot, request) {
  return receive(slot, request.arrayBuffer());
}

/**
 * Reads the body of a request until it ends, pauses for `pause` milliseconds, or exceeds `limit`
 * bytes. `slot` gets an `ArrayBuffer` if it has ended, and otherwise a stream of all of it.
 */
export function readStart(slot, request, limit, pause) {
  return receive(slot, start(request.body, limit, pause));
}

/**
 * Reads the first `limit` bytes of the body of a response, or all of a shorter one, and cancels the
 * rest. `slot` gets a `Uint8Array`.
 */
export function readPrefix(slot, response, limit) {
  const reader = response.body?.getReader();
  const reading = receive(slot, prefix(reader, limit));
  reading.stop = () => stop(reader);
  return reading;
}

async function start(body, limit, pause) {
  const reader = body.getReader();
  const chunks = [];
  let pending;
  for (let size = 0; size <= limit; size += chunks.at(-1).length) {
    pending = reader.read();
    const result = await beforePause(pending, pause);
    if (result?.done) return joined(chunks).buffer;
    if (!result) break;
    chunks.push(result.value);
    pending = undefined;
  }
  // The runtime copies an `IdentityTransformStream` without JavaScript.
  const { readable, writable } = new IdentityTransformStream();
  // The request to the server ends with the same error.
  copy(reader, chunks, pending, body, writable).catch(() => {});
  return readable;
}

/** Waits for a read. `undefined`: the body pauses. */
function beforePause(read, pause) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, pause);
    read.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}

/** Writes the part that was read, and then lets the runtime copy the rest. */
async function copy(reader, chunks, pending, body, writable) {
  const writer = writable.getWriter();
  try {
    for (const chunk of chunks) await writer.write(chunk);
    const next = await pending;
    if (next?.done) return await writer.close();
    if (next) await writer.write(next.value);
  } catch (error) {
    stop(reader);
    return writer.abort(error);
  }
  reader.releaseLock();
  writer.releaseLock();
  await body.pipeTo(writable);
}

async function prefix(reader, limit) {
  const chunks = [];
  for (let size = 0; reader && size < limit; size += chunks.at(-1).length) {
    const { done, value } = await reader.read();
    if (done) break;
    chunks.push(value.subarray(0, limit - size));
  }
  stop(reader);
  return joined(chunks);
}

function joined(chunks) {
  const all = new Uint8Array(chunks.reduce((size, chunk) => size + chunk.length, 0));
  let end = 0;
  for (const chunk of chunks) {
    all.set(chunk, end);
    end += chunk.length;
  }
  return all;
}

function stop(reader) {
  // The cancellation fails only if the body has ended.
  reader?.cancel().catch(() => {});
}

// The calls between JavaScript and wasm on the path of a request.
//
// A call that crosses is cheap. Expensive are the strings that it copies, the closures and promises
// that wasm-bindgen makes for it, and their finalizers. So a message crosses as one string in each
// direction, header names that do not change stay here, and results arrive through functions that
// wasm exports.

// The exports of the wasm instance in use. The runtime replaces it after a panic.
let instance;

// The functions of the runtime that do I/O. They are permitted only while an event is handled.
let io = globalThis;

/** Sets the exports that results are passed to. */
export function connect(exports) {
  instance = exports;
  io = globalThis;
}

// The names of headers that wasm does not read.
let unreadOfRequests = new Set();
let unreadOfResponses = new Set();

/** Sets the names of headers, one a line, that wasm does not read. */
export function setUnread(ofRequests, ofResponses) {
  unreadOfRequests = new Set(ofRequests.split('\n'));
  unreadOfResponses = new Set(ofResponses.split('\n'));
}

/** Returns the method, the URL, whether there is a body, and the header lines. */
export function describeRequest(request) {
  return `${request.method}\n${request.url}\n${request.body === null ? '' : 'body'}\n${lines(request.headers, unreadOfRequests)}`;
}

/** Each line is two: name and value. Neither can contain a line break. */
function lines(headers, unread) {
  let text = '';
  // Takes a quarter less time than a loop over the entries, which makes an array for each.
  headers.forEach((value, name) => {
    if (!unread.has(name)) text += `${name}\n${value}\n`;
  });
  return text;
}

/**
 * Applies changes in order. Each is three lines: `=` (set), `+` (append) or `-` (delete), the name,
 * and the value.
 */
function change(headers, changes) {
  if (changes === '') return;
  const parts = changes.split('\n');
  for (let at = 0; at + 2 < parts.length; at += 3) {
    if (parts[at] === '=') headers.set(parts[at + 1], parts[at + 2]);
    else if (parts[at] === '-') headers.delete(parts[at + 1]);
    else headers.append(parts[at + 1], parts[at + 2]);
  }
}

/**
 * Sends a copy of `request` with another body, or with none, to `url`. It is made of its parts,
 * because a copy of a request, from which `fetch` makes its own one, copies the headers twice.
 */
export function sendParts(slot, request, url, changes, body, isAbortable) {
  const headers = new Headers(request.headers);
  change(headers, changes);
  return start(slot, url, { method: request.method, headers, redirect: 'manual', body }, isAbortable);
}

/**
 * Sends a copy of `request` with its body stream to `url`. The runtime accepts the stream with any
 * method only as a part of its request.
 */
export function sendCopy(slot, request, url, changes, isAbortable) {
  const copy = new Request(url, request);
  change(copy.headers, changes);
  return start(slot, copy, {}, isAbortable);
}

/** Sends a request. */
export function send(slot, request) {
  return start(slot, request, {}, true);
}

/**
 * Starts a request. The result goes to `slot`. Returns what cancels the request.
 *
 * A signal is a tenth of the CPU of a request, so only a request that `isAbortable` has one. Of
 * another one that is canceled, the response is discarded, and the runtime aborts it after the
 * response to the client.
 */
function start(slot, input, init, isAbortable) {
  const controller = isAbortable ? new AbortController() : undefined;
  if (isAbortable) init.signal = controller.signal;
  const sent = receive(slot, io.fetch(input, init), complete, discard);
  sent.stop = () => controller?.abort();
  return sent;
}

function complete(receiver, slot, response) {
  const { status } = response;
  // Only a response with this status can have a WebSocket.
  const isWebSocket = status === 101 && response.webSocket !== null;
  receiver.complete(slot, response, status, isWebSocket, lines(response.headers, unreadOfResponses));
}

/**
 * Passes the result of a promise to `slot`. Returns what cancels this; a value that comes later is
 * discarded.
 */
export function receive(slot, promise, pass = (receiver, slot, value) => receiver.receive(slot, value), discard) {
  const operation = { isCanceled: false, stop: undefined };
  const receiver = instance;
  // A canceled operation, and one of an earlier instance, has no receiver.
  const isExpected = () => receiver === instance && !operation.isCanceled;
  promise.then(
    (value) => (isExpected() ? pass(receiver, slot, value) : discard?.(value)),
    (error) => isExpected() && receiver.fail(slot, String(error?.message ?? error)),
  );
  return operation;
}

/** Cancels an operation. */
export function cancel(operation) {
  operation.isCanceled = true;
  operation.stop?.();
}

/** Cancels the body of a response, so that its connection is free again. */
export function discard(response) {
  // The cancellation fails only if the body has ended.
  response.body?.cancel().catch(() => {});
}

/** Returns a copy of a response with edited headers. A 101 is copied with its `webSocket`. */
export function respond(response, changes) {
  const copy = new Response(response.body, response);
  change(copy.headers, changes);
  return copy;
}

/** Returns a response of the balancer. */
export function reply(status, changes, body) {
  const headers = new Headers();
  change(headers, changes);
  return new Response(body, { status, headers });
}

/** Keeps an invocation alive until the returned function is called. */
export function hold(context) {
  let release;
  context.waitUntil(new Promise((resolve) => (release = resolve)));
  return release;
}

/** Starts a timer that fires for `slot`. */
export function startTimer(slot, milliseconds) {
  const owner = instance;
  return io.setTimeout(() => owner === instance && owner.fire(slot), milliseconds);
}

/** Stops a timer. */
export function stopTimer(timer) {
  io.clearTimeout(timer);
}

/** Runs the tasks that are ready after the present one has returned. */
export function defer() {
  const owner = instance;
  Promise.resolve().then(() => owner === instance && owner.runTasks());
}

/** Writes a line of the log. */
export function print(method, line) {
  io.console[method](line);
}

/** Returns a random number from 0 to 1. */
export function random() {
  return io.Math.random();
}

// The responses of a rehearsal that have not been delivered.
let undelivered = [];

/** Makes requests wait for empty responses, and ignores timers and the log. */
export function beginRehearsal() {
  undelivered = [];
  io = {
    fetch: () => ({ then: (deliver) => undelivered.push(deliver) }),
    setTimeout: () => 0,
    clearTimeout() {},
    console: { error() {}, warn() {}, log() {} },
    Math: { random: () => 0.5 },
  };
}

/** Delivers the responses. */
export function finishRehearsal() {
  try {
    while (undelivered.length > 0) undelivered.shift()(new Response(null));
  } finally {
    io = globalThis;
  }
}

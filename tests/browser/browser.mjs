// Chromium, and its network traffic: navigations, failed responses and WebSockets.

import { EventEmitter, once } from 'node:events';
import { chromium } from 'playwright-core';
import { TIMEOUT } from '../node/processes.mjs';

const FLAGS = [
  '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
  '--disable-background-networking', '--disable-component-update', '--disable-sync',
];

/** Starts Chromium. It ends by `close()`; the test handles signals. */
export function startBrowser(executablePath) {
  const signals = { handleSIGINT: false, handleSIGTERM: false, handleSIGHUP: false };
  return chromium.launch({ executablePath, args: FLAGS, headless: true, ...signals });
}

/** The traffic of a page since its first request. */
export class Traffic {
  /** Responses to navigations of the page, redirects included: `{ method, path, status, server }`. */
  navigations = [];
  /** All responses with a status of 500 or more. */
  errors = [];
  /** WebSockets in the order of their start: `{ path, status, received, closed }`. */
  sockets = [];
  #events = new EventEmitter();

  static async of(page) {
    const traffic = new Traffic();
    page.on('response', (response) => traffic.#record(page, response));
    // Playwright's own events do not contain the response to a handshake.
    const devtools = await page.context().newCDPSession(page);
    await devtools.send('Network.enable');
    const sockets = new Map();
    const on = (event, change) => devtools.on(`Network.webSocket${event}`, (details) => {
      const socket = sockets.get(details.requestId);
      if (socket) change(socket, details);
      traffic.#events.emit('change');
    });
    devtools.on('Network.webSocketCreated', ({ requestId, url }) => {
      const socket = { path: new URL(url).pathname, status: undefined, received: 0, closed: false };
      sockets.set(requestId, socket);
      traffic.sockets.push(socket);
    });
    on('HandshakeResponseReceived', (socket, { response }) => { socket.status = response.status; });
    on('FrameReceived', (socket) => { socket.received += 1; });
    on('Closed', (socket) => { socket.closed = true; });
    return traffic;
  }

  /** The response to the latest navigation. */
  get latest() {
    return this.navigations.at(-1);
  }

  /** Waits for a WebSocket that `matches`, without the first `skipped`. */
  async socket(what, skipped, matches) {
    const signal = AbortSignal.timeout(TIMEOUT);
    for (;;) {
      const socket = this.sockets.slice(skipped).find(matches);
      if (socket) return socket;
      await once(this.#events, 'change', { signal }).catch(() => {
        const latest = this.sockets.slice(-8).map((socket) => `\n  ${JSON.stringify(socket)}`).join('');
        throw new Error(`timed out waiting for ${what}; the latest sockets are${latest}`);
      });
    }
  }

  #record(page, response) {
    const request = response.request();
    const path = new URL(response.url()).pathname;
    const server = response.headers()['x-served-by'];
    const entry = { method: request.method(), path, status: response.status(), server };
    if (request.isNavigationRequest() && request.frame() === page.mainFrame()) this.navigations.push(entry);
    if (entry.status >= 500) this.errors.push(entry);
  }
}

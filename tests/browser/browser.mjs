// Chromium, and what it shows of the network: each navigation's answers, each failure, each
// WebSocket.

import { EventEmitter, once } from 'node:events';
import { chromium } from 'playwright-core';
import { PATIENCE } from './processes.mjs';

const FLAGS = [
  '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
  '--disable-background-networking', '--disable-component-update', '--disable-sync',
];

/** Starts Chromium. It ends by `close()`; signals are the test's business. */
export function startBrowser(executablePath) {
  const signals = { handleSIGINT: false, handleSIGTERM: false, handleSIGHUP: false };
  return chromium.launch({ executablePath, args: FLAGS, headless: true, ...signals });
}

/** What a page has asked for and got, from its first request on. */
export class Traffic {
  /** Answers to navigations of the page, redirects included: `{ method, path, status, server }`. */
  navigations = [];
  /** Answers of any kind with a status of 500 or more. */
  errors = [];
  /** WebSockets in the order in which they were opened: `{ path, status, received, closed }`. */
  sockets = [];
  #events = new EventEmitter();

  static async of(page) {
    const traffic = new Traffic();
    page.on('response', (response) => traffic.#answered(page, response));
    // Not Playwright's own events: they tell nothing of the answer to a handshake.
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

  /** The answer to the latest navigation. */
  get latest() {
    return this.navigations.at(-1);
  }

  /** Waits for a WebSocket that `matches`, passing over the first `skipped`. */
  async socket(what, skipped, matches) {
    const signal = AbortSignal.timeout(PATIENCE);
    for (;;) {
      const socket = this.sockets.slice(skipped).find(matches);
      if (socket) return socket;
      await once(this.#events, 'change', { signal }).catch(() => {
        const latest = this.sockets.slice(-8).map((socket) => `\n  ${JSON.stringify(socket)}`).join('');
        throw new Error(`waited in vain for ${what}; the latest sockets were${latest}`);
      });
    }
  }

  #answered(page, response) {
    const request = response.request();
    const path = new URL(response.url()).pathname;
    const server = response.headers()['x-served-by'];
    const answer = { method: request.method(), path, status: response.status(), server };
    if (request.isNavigationRequest() && request.frame() === page.mainFrame()) this.navigations.push(answer);
    if (answer.status >= 500) this.errors.push(answer);
  }
}

// The way to a server, where a fault can be injected. It stands for a tunnel and its machine, so an
// application needs nothing for the fault itself.

import { createServer as createHttpServer } from 'node:http';
import { createSecureServer } from 'node:http2';
import { connect, createServer } from 'node:net';

/** The faults, with the event that each stands for. */
export const FAULTS = {
  killed: 'the machine ends: connections are reset, new ones are refused',
  frozen: 'the application is stopped (SIGSTOP): connections are accepted, without a response',
  502: 'the application ends behind a living tunnel: connections are reset, then each request gets 502',
  530: 'the tunnel ends: connections are reset, then each request gets 530',
};

/** A TCP proxy to one server. */
export class Injector {
  #target;
  #responder;
  #health;
  #fault;
  #armed;
  #links = new Set();
  #server = createServer({ allowHalfOpen: true }, (client) => this.#accept(client));

  /**
   * `health` is the path of probes, which do not trigger an armed fault. `tls` has a key and a
   * certificate.
   */
  static async start({ port, health, tls }) {
    const injector = new Injector();
    injector.#target = port;
    injector.#health = health;
    const respond = (request, response) => {
      request.resume();
      response.writeHead(injector.#fault, { 'content-type': 'text/plain' });
      response.end(`status ${injector.#fault}\n`);
    };
    injector.#responder = tls ? createSecureServer({ ...tls, allowHTTP1: true }, respond) : createHttpServer(respond);
    await new Promise((resolve, reject) => {
      injector.#server.on('error', reject).listen(0, '127.0.0.1', resolve);
    });
    return injector;
  }

  get port() {
    return this.#server.address().port;
  }

  /** Injects a fault when the next request with `method`, or any, has been passed on. */
  arm(fault, method) {
    return new Promise((resolve) => {
      this.#armed = (data) => {
        if (method ? !begins(data, `${method} `) : begins(data, `GET ${this.#health} `)) return;
        this.#armed = undefined;
        this.#strike(fault);
        resolve();
      };
    });
  }

  close() {
    if (this.#server.listening) this.#server.close();
    this.#responder.close();
    this.#reset();
  }

  #strike(fault) {
    this.#fault = fault === 'killed' || fault === 'frozen' ? fault : Number(fault);
    if (fault === 'frozen') {
      for (const socket of this.#links) socket.pause();
      return;
    }
    if (fault === 'killed') this.#server.close();
    this.#reset();
  }

  #reset() {
    for (const socket of this.#links) socket.resetAndDestroy();
  }

  #accept(client) {
    this.#add(client);
    if (typeof this.#fault === 'number') return this.#responder.emit('connection', client);
    if (this.#fault === 'frozen') return client.pause();
    const server = connect({ port: this.#target, host: '127.0.0.1', allowHalfOpen: true });
    this.#add(server);
    client.on('data', (data) => {
      if (!server.write(data)) client.pause();
      this.#armed?.(data);
    });
    server.on('data', (data) => client.write(data) || server.pause());
    const resume = (socket) => this.#fault === 'frozen' || socket.resume();
    server.on('drain', () => resume(client));
    client.on('drain', () => resume(server));
    for (const [from, to] of [[client, server], [server, client]]) {
      from.on('end', () => to.end());
      from.on('close', () => to.destroy());
    }
  }

  #add(socket) {
    this.#links.add(socket);
    socket.on('error', () => {}); // The other end is closed by the event `close`.
    socket.on('close', () => this.#links.delete(socket));
  }
}

const begins = (data, text) => data.subarray(0, text.length).equals(Buffer.from(text));

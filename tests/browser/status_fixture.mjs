// A balancer whose report the test sets. It serves the page as the hosts do, and accepts commands.

import { createServer } from 'node:http';
import { detailed } from './status_reports.mjs';

export const PREFIX = '/__balancer';

export class Fixture {
  /** The token that requests need, or `null`. */
  token = null;
  /** A function of the current time, which returns the report without a token. */
  public = null;
  /** A function of the current time, which returns the report. */
  report;
  /** The commands that were sent, and the response to the next one. */
  commands = [];
  refusal = null;
  /** All requests: `METHOD path`. */
  requests = [];
  /** Whether connections are refused. */
  isDown = false;

  /** `page` has the headers and the body of the page. */
  static async start(page) {
    const fixture = new Fixture();
    fixture.server = createServer((request, response) => fixture.#respond(page, request, response));
    await new Promise((resolve) => fixture.server.listen(0, '127.0.0.1', resolve));
    fixture.origin = `http://127.0.0.1:${fixture.server.address().port}`;
    fixture.url = fixture.origin + PREFIX;
    return fixture;
  }

  close() {
    this.server.closeAllConnections();
    return new Promise((resolve) => this.server.close(resolve));
  }

  async #respond(page, request, response) {
    const { pathname, searchParams } = new URL(request.url, this.origin);
    this.requests.push(`${request.method} ${request.url}`);
    if (this.isDown) return request.destroy();
    const json = (status, value, headers) => response.writeHead(status, { 'content-type': 'application/json', 'cache-control': 'no-store', ...headers }).end(JSON.stringify(value));
    if (pathname === PREFIX) return response.writeHead(200, page.headers).end(page.body);
    const isAllowed = !this.token || request.headers.authorization === `Bearer ${this.token}`;
    const isReport = pathname === `${PREFIX}/status.json`;
    if (!isAllowed && isReport && this.public && !request.headers.authorization) return json(200, this.public(Date.now()));
    if (!isAllowed) return json(401, { error: 'unauthorized', message: 'the token is missing or wrong' }, { 'www-authenticate': 'Bearer' });
    const service = searchParams.get('service');
    if (isReport) return json(200, service ? detailed(this.report(Date.now()), service) : this.report(Date.now()));
    if (pathname !== `${PREFIX}/control` || request.method !== 'POST') return json(404, { error: 'not_found', message: 'no such path' });
    let body = '';
    for await (const chunk of request) body += chunk;
    this.commands.push(JSON.parse(body));
    return this.refusal ? json(409, this.refusal) : json(200, { now: Date.now(), changed: [] });
  }
}

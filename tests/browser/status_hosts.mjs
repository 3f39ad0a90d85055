// The page of the real hosts: `serve --admin`, and the Worker on workerd with its Durable Object.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, get } from 'node:http';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { freePort, Program } from '../node/processes.mjs';
import { StatusPage, until } from './status_page.mjs';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const PREFIX = '/__balancer';
export const TOKEN = 'the-token-of-the-operators';
const SECRETS = { BALANCER_CONTROL_TOKEN: TOKEN, STATUS_TOKEN: 'the-token-of-the-readers' };
/** The page shows a change of a server within this time, in milliseconds. */
const CHANGE = 5_000;

/** A server that can be stopped and started again. It responds with its name. */
export class Upstream {
  static async start(name) {
    const upstream = new Upstream();
    Object.assign(upstream, { name, port: 0 });
    await upstream.start();
    return upstream;
  }

  async start() {
    this.server = createServer((_, response) => response.end(this.name)).listen(this.port, '127.0.0.1');
    await once(this.server, 'listening');
    this.port = this.server.address().port;
  }

  stop() {
    this.server.closeAllConnections();
    return new Promise((resolve) => this.server.close(resolve));
  }
}

/** A running host: the URL of its page, and the port of its services. */
export class Host {
  /** `services` maps titles to upstreams. `state` is the content of the state file. */
  static async start(kind, { directory, programs, services, state }) {
    mkdirSync(directory, { recursive: true });
    const status = 'status: { token: "${STATUS_TOKEN}", public: true }';
    const yaml = `${status}\nservices:\n${Object.entries(services).map(serviceOf).join('')}`;
    return kind === 'serve' ? serve({ directory, programs, yaml, state }) : worker({ directory, yaml });
  }

  /** `page` is the URL for operators, `port` that of the services. */
  constructor(page, port) {
    Object.assign(this, { page, port, public: `http://127.0.0.1:${port}${PREFIX}` });
  }

  /** Sends requests to a service. The function that it returns ends them, and returns all statuses. */
  traffic(name) {
    const statuses = [];
    let isRunning = true;
    const send = async () => {
      while (isRunning) {
        statuses.push(await this.send(name).then(({ status }) => status));
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
    };
    const ended = send();
    return async () => {
      isRunning = false;
      await ended;
      return statuses;
    };
  }

  /** Sends one request to a service. Resolves with the status, and the server that responded. */
  send(host = 'chat.example.com') {
    return new Promise((resolve, reject) => {
      get({ port: this.port, headers: { host }, agent: false }, (response) => {
        response.resume().on('end', () => resolve({ status: response.statusCode, server: response.headers['x-served-by'] }));
      }).on('error', reject);
    });
  }
}

function serviceOf([title, upstreams]) {
  const server = ({ name, port }) => `      - { url: "http://127.0.0.1:${port}", name: ${name} }\n`;
  return `  ${title.toLowerCase()}.example.com:
    title: ${title}
    servers:
${upstreams.map(server).join('')}    health_check: { path: /health, interval: 1s, unhealthy_interval: 1s, timeout: 1s, rise: 1, fall: 1 }
`;
}

async function serve({ directory, programs, yaml, state }) {
  const file = join(directory, 'services.yaml');
  const stored = join(directory, 'state.json');
  writeFileSync(file, yaml);
  if (state) writeFileSync(stored, JSON.stringify(state));
  const [port, admin] = [await freePort(), await freePort()];
  const args = ['serve', '-f', file, '--listen', `127.0.0.1:${port}`, '--admin', `127.0.0.1:${admin}`, '--state-file', stored];
  const options = { env: { ...process.env, ...SECRETS } };
  await Program.start({ name: 'serve', command: programs.serve, args, options, log: join(directory, 'serve.log'), ready: new RegExp(`"event":"listening".*:${port}"`) });
  return new Host(`http://127.0.0.1:${admin}${PREFIX}`, port);
}

async function worker({ directory, yaml }) {
  const options = {
    directory: join(ROOT, 'crates/worker/build'), persist: join(directory, 'storage'),
    workers: [{ name: 'worker', yaml: `health_sharing: durable_object\n${yaml}`, secrets: SECRETS, bindings: ['object'] }],
  };
  const args = [join(ROOT, 'tests/node/miniflare.mjs'), JSON.stringify(options)];
  const [, [, url]] = await Program.start({ name: 'the Worker', command: 'node', args, log: join(directory, 'worker.log'), ready: /^\{"entry":.*"worker":"([^"]+)"/ });
  return new Host(`${url}${PREFIX.slice(1)}`, new URL(url).port);
}

/** The cases of both hosts. */
export const hostCases = {
  async 'a stopped server is on the page within 5 s, and again when it starts'(browser, host, [first]) {
    const end = host.traffic();
    const status = await StatusPage.open(browser, `${host.page}#token=${TOKEN}`);
    await status.shows('services are up', 'h1');
    const states = status.service('Chat').locator('tbody tr').first();
    await states.getByText('serving').waitFor();
    for (const [change, state, serving] of [['stop', /unhealthy|ejected/, 'chat-b'], ['start', /healthy|probation/, 'chat-a']]) {
      const start = performance.now();
      await first[change]();
      await until(`the page shows ${state} after ${change}`, async () => state.test(await states.locator('[data-label=State]').innerText()) && (await status.text('.row')).includes(`Served by ${serving}`), CHANGE);
      console.log(`    ${change}: on the page after ${Math.round(performance.now() - start)} ms`);
    }
    await status.shows('services are up', 'h1');
    const statuses = await end();
    assert.deepEqual(statuses.filter((status) => status !== 200), [], 'no request failed');
    assert.match(await status.text('.row'), /\d+ requests, 0 failed/);
    await status.page.keyboard.press('/');
    await status.page.keyboard.type('films');
    await until('one row', async () => (await status.page.locator('.service').count()) === 1);
    await status.close();
  },

  async 'changes of an operator, and Undo'(browser, host) {
    const status = await StatusPage.open(browser, `${host.page}#token=${TOKEN}`);
    const change = async (label) => {
      await status.button(label).first().click();
      await status.page.locator('dialog .primary').click();
      await status.shows('Done: ', '.toast');
    };
    const undo = async () => {
      await status.button('Undo').click();
      await status.shows('Done: undo of', '.toast');
    };
    await status.service('Chat').getByRole('button', { name: /^Drain: chat-a/ }).waitFor();
    await change(/^Drain: chat-a/);
    await status.shows('drain until it is ended', '[aria-label="Changes in force"]');
    await until('the drained server gets no new client', async () => (await host.send()).server === 'chat-b');
    await undo();
    await until('the drain has ended', async () => !(await status.text()).includes('Changes in force'));
    await until('the server gets new clients', async () => (await host.send()).server === 'chat-a');
    await change(/^Start maintenance: chat/);
    await until('maintenance', async () => (await host.send()).status === 503);
    await status.shows('Chat has been under maintenance', '[aria-label="Needs attention"]');
    await undo();
    await until('the end of the maintenance', async () => (await host.send()).status === 200);
    await status.shows('maintenance off', '.details');
    await status.close();
  },

  async 'no accessibility violation on the page of a host'(browser, host) {
    for (const [colorScheme, width] of [['light', 1600], ['dark', 360]]) {
      const status = await StatusPage.open(browser, `${host.page}#token=${TOKEN}`, { colorScheme, width });
      await status.service('Chat').locator('table').waitFor();
      await status.fits(`${width} px`);
      await status.accessible(`${colorScheme}, ${width} px`);
      await status.close();
    }
  },
};

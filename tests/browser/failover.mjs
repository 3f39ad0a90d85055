// A browser session that continues after its server is killed.
//
// JupyterLab is a typical application behind a tunnel: a login with a redirect and a signed cookie,
// uploads, downloads, and long-lived WebSockets. Two JupyterLab servers share one directory, the
// built Worker is in front of them, and Chromium is the client. `cargo xtask test browser` installs
// all of them and runs this test.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { startBrowser, Traffic } from './browser.mjs';
import { pythonWith } from '../node/packages.mjs';
import { Lab, startServer } from './jupyter.mjs';
import { endAll, freePort, Program } from '../node/processes.mjs';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
/** The directory of the logs, which the next run empties. */
const DIRECTORY = join(ROOT, 'target/browser');
/** More than the 64 KiB that the Worker buffers of a body, so that the upload is streamed. */
const SIZE = 300 * 1024;

const option = { type: 'string' };
const { values: programs } = parseArgs({ options: { chromium: option, cache: option, serve: option, worker: option } });

async function test() {
  const { origin, servers } = await start();
  const browser = await startBrowser(programs.chromium);
  cleanUp.push(() => browser.close());
  const page = await browser.newPage();
  const traffic = await Traffic.of(page);
  cleanUp.push(() => saveTraces(page, traffic));
  const lab = new Lab(page);

  await page.goto(origin);
  assert.equal(pathOf(page), '/login', 'without a login, the page redirects to the login');
  log(`opened ${origin}: redirected to ${page.url()}`);
  await lab.logIn();
  assert.equal(pathOf(page), '/lab');
  const first = serverOf(servers, traffic.latest);
  log(`logged in; ${first.name} responds`);

  await upload(lab, 'before.bin');
  await download(lab, 'before.bin');

  // A kernel is a child process of its server, so its parent identifies the server of the socket.
  await lab.newNotebook();
  assert.equal(await lab.execute('import os; value = 42; print(os.getppid())'), String(first.program.pid));
  const kernel = await traffic.socket('a socket to the kernel', 0, isKernel);
  const events = await traffic.socket('the socket for events', 0, isEvents);
  const received = kernel.received;
  assert.equal(await lab.execute('print(value)'), '42', 'the kernel keeps its state');
  assert.ok(kernel.received > received, 'the second result arrives through the same socket');
  await lab.save();
  assert.deepEqual([kernel, events].map(isOpen), [true, true]);
  log(`a kernel of ${first.name} runs code; the sockets for it and for events are open`);

  const opened = traffic.sockets.length;
  await first.program.kill();
  log(`killed ${first.name} (SIGKILL), the server of all requests`);
  await traffic.socket('the end of the socket to the kernel', 0, (socket) => socket === kernel && socket.closed);
  await traffic.socket('the end of the socket for events', 0, (socket) => socket === events && socket.closed);
  await traffic.socket('another socket for events', opened, isEvents);
  log('both sockets have ended; the page has opened another one for events by itself');

  const navigated = traffic.navigations.length;
  await page.goto(`${origin}/lab/tree/Untitled.ipynb`);
  await lab.shown();
  assert.equal(traffic.navigations.length, navigated + 1, 'there is no redirect to the login');
  const second = serverOf(servers, traffic.latest);
  assert.notEqual(second.name, first.name);
  log(`opened the notebook again: still logged in; ${second.name} responds`);

  await download(lab, 'before.bin');
  await upload(lab, 'after.bin');
  await download(lab, 'after.bin');

  assert.equal(await lab.execute('import os; print(os.getppid())'), String(second.program.pid));
  await traffic.socket('a socket to the new kernel', opened, (socket) => isKernel(socket) && isOpen(socket));
  log(`a kernel of ${second.name} runs code through a new socket`);

  assert.deepEqual(traffic.navigations.filter(({ status }) => status >= 400), [], 'a navigation failed');
  assert.deepEqual(traffic.errors, [], 'the page received errors');
  log(`passed: ${traffic.navigations.length} navigations, none failed; no response was a 5xx`);
}

async function start() {
  rmSync(DIRECTORY, { recursive: true, force: true });
  mkdirSync(DIRECTORY, { recursive: true });
  const python = pythonWith(join(ROOT, 'tests/browser/requirements.txt'), join(programs.cache, 'jupyterlab'));
  const port = await freePort();
  // Names below `localhost` need no DNS, and browsers treat them as secure origins.
  const host = `jupyter.localhost:${port}`;
  const origin = `http://${host}`;
  const options = { python, directory: DIRECTORY, origin };
  // In sequence, because the first server writes the secret that signs cookies.
  const servers = [await startServer('a', options), await startServer('b', options)];
  log(`two JupyterLab servers run: ${servers.map(({ name, url }) => `${name} on ${url}`).join(', ')}`);

  const services = join(DIRECTORY, 'services.yaml');
  writeFileSync(services, `services:
  "${host}":
    servers:
${servers.map(({ name, url }) => `      - { url: "${url}", name: ${name} }\n`).join('')}    policy: failover
    health_check: { path: /api }
`);
  await Program.start({
    name: 'the Worker',
    command: programs.worker,
    args: [services, '--port', String(port)],
    log: join(DIRECTORY, 'worker.log'),
    ready: /^listening on /,
  });
  log(`the Worker runs on workerd for ${host}`);
  return { origin, servers };
}

/** Uploads random bytes and compares them with the file on the server's disk. */
async function upload(lab, name) {
  const source = join(DIRECTORY, name);
  writeFileSync(source, randomBytes(SIZE));
  await lab.upload(source, name);
  assert.ok(readFileSync(join(DIRECTORY, 'files', name)).equals(readFileSync(source)), `${name} is unchanged on the server`);
  log(`uploaded ${name}, ${SIZE} bytes: identical on the disk`);
}

async function download(lab, name) {
  const copy = join(DIRECTORY, `${name}.downloaded`);
  await lab.download(name, copy);
  assert.ok(readFileSync(copy).equals(readFileSync(join(DIRECTORY, name))), `${name} is unchanged after the download`);
  log(`downloaded ${name}: identical`);
}

async function saveTraces(page, traffic) {
  writeFileSync(join(DIRECTORY, 'traffic.json'), JSON.stringify(traffic, null, 2));
  await page.screenshot({ path: join(DIRECTORY, 'page.png') });
}

const pathOf = (page) => new URL(page.url()).pathname;
const isKernel = ({ path, status }) => /^\/api\/kernels\/[^/]+\/channels$/.test(path) && status === 101;
const isEvents = ({ path, status }) => path === '/api/events/subscribe' && status === 101;
const isOpen = ({ status, closed }) => status === 101 && !closed;

function serverOf(servers, response) {
  const server = servers.find(({ name }) => name === response.server);
  assert.ok(server, `X-Served-By names a server: ${JSON.stringify(response)}`);
  return server;
}

const started = performance.now();
function log(what) {
  console.log(`${((performance.now() - started) / 1000).toFixed(1).padStart(6)} s  ${what}`);
}

/** Tasks of the end, which run in reverse order. */
const cleanUp = [endAll];
async function finish() {
  for (const task of cleanUp.splice(0).reverse()) await task().catch((error) => console.error(String(error)));
}

for (const event of ['SIGINT', 'SIGTERM', 'SIGHUP', 'uncaughtException']) {
  process.once(event, (cause) => {
    console.error('browser: ended by', cause);
    finish().then(() => process.exit(1));
  });
}
process.stdout.on('error', () => {}); // A closed pipe must not prevent the end of the programs.
try {
  await test();
} catch (error) {
  console.error(error);
  console.error(`\nbrowser: failed; logs and the last page are in ${DIRECTORY}`);
  process.exitCode = 1;
} finally {
  await finish();
}

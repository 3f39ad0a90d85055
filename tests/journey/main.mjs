// The journey of a user with Node alone, from `npm create` to a failover on `wrangler dev`.
//
// `cargo xtask test journey` packs the packages and runs this. A chroot stands for the machine of
// the user, and a registry on loopback has the packages. Prints how long the user waits.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { setTimeout } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { endAll, Program } from '../node/processes.mjs';
import { Machine } from './machine.mjs';
import { startRegistry } from './registry.mjs';

const HOST = 'chat.example.com';
const EDIT = 'an edit of services.yaml is live';
const DIRECTORY = fileURLToPath(new URL('../../target/journey', import.meta.url));
const option = { type: 'string' };
const { packages, cache } = parseArgs({ options: { packages: option, cache: option } }).values;

/** The steps with their times in milliseconds. */
const times = [];

async function journey(machine) {
  const variables = { npm_config_registry: await startRegistry(packages) };
  const waited = (line, directory) => timed(line, () => output(machine.shell(line, directory, variables)));

  const options = `--host ${HOST} --server chat-a.example.com --server chat-b.example.com`;
  await waited(`npm create --yes tunnel-balancer my-balancer -- ${options}`);
  await waited('npm install', 'my-balancer');
  assert.match(await waited('npx tunnel-balancer check', 'my-balancer'), /1 service, 2 servers, no warnings/);
  assert.match(await waited('npx tunnel-balancer generate wrangler --write', 'my-balancer'), /added the route/);
  assert.match(await waited('npx wrangler deploy --dry-run', 'my-balancer'), /--dry-run: exiting now/);

  // Servers of this machine, in the order of the map. wrangler.toml has a route, so `wrangler dev`
  // handles every request as one for its host.
  const [a, b, c] = [await startServer('a'), await startServer('b'), await startServer('c')];
  const write = (...servers) => {
    const list = servers.map(({ url }) => `"${url}"`).join(', ');
    writeFileSync(join(machine.root, 'root/my-balancer/services.yaml'), `services:\n  ${HOST}: [${list}]\n`);
  };
  write(a, b);
  const line = 'npx wrangler dev --ip 127.0.0.1 --port 0 --inspector-port 0';
  const { command, args } = machine.shell(line, 'my-balancer', { ...variables, CLOUDFLARE_CF_FETCH_ENABLED: 'false' });
  const log = join(DIRECTORY, 'wrangler.log');
  const start = () => Program.start({ name: 'wrangler dev', command, args, log, ready: /Ready on (http:\/\/[\d.:]+)/ });
  const [, [, url]] = await timed('npx wrangler dev', start);
  assert.equal(await body(url), 'a');
  a.close();
  assert.equal(await body(url), 'b', 'the first server is down');
  write(c);
  await timed(EDIT, async () => {
    while ((await body(url)) !== 'c') await setTimeout(50);
  });
}

/** Returns the output of a command that succeeds. The registry runs in this process. */
async function output({ command, args }) {
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  const [output, code] = await Promise.all([text(child.stdout), new Promise((resolve) => child.on('close', resolve))]);
  assert.equal(code, 0, `${args.at(-1)}:\n${output}`);
  return output;
}

/** Returns the body of a response, or an error if there is none while wrangler replaces the Worker. */
async function body(url) {
  const signal = AbortSignal.timeout(60_000);
  return fetch(url, { signal }).then((response) => response.text(), (error) => error.message);
}

async function startServer(name) {
  const server = createServer((_, response) => response.end(name));
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const close = () => {
    server.close();
    server.closeAllConnections();
  };
  return { url: `http://127.0.0.1:${server.address().port}`, close };
}

/** Performs a step and records its time. */
async function timed(step, perform) {
  const start = performance.now();
  const result = await perform();
  times.push([step, performance.now() - start]);
  console.log(`${seconds(times.at(-1)[1])}  ${step}`);
  return result;
}

function seconds(milliseconds) {
  return `${(milliseconds / 1000).toFixed(1)} s`.padStart(7);
}

mkdirSync(DIRECTORY, { recursive: true });
const machine = Machine.create(join(DIRECTORY, 'root'), cache);
try {
  await journey(machine);
  const waited = times.filter(([step]) => step !== EDIT).reduce((sum, [, time]) => sum + time, 0);
  console.log(`${seconds(waited)}  in total, without the edit (aim: 60 s; edit: 3 s)`);
} finally {
  await endAll();
  machine.remove();
}
process.exit();

// Real applications and their real clients, while the primary of two servers fails.
//
// `cargo xtask test apps` builds both hosts and runs this. The result is a table of all that a user
// has to do again. Arguments after the options select rows: `git`, `s3`, `worker`, `frozen`.

import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { endAll } from '../node/processes.mjs';
import { runCell } from './cell.mjs';
import { FAULTS } from './injector.mjs';
import { Packages } from './packages.mjs';
import { HEADER, row, violations } from './table.mjs';
import { caldav } from './caldav.mjs';
import { chat } from './chat.mjs';
import { git } from './git.mjs';
import { grpc } from './grpc.mjs';
import { mqtt } from './mqtt.mjs';
import { registry } from './registry.mjs';
import { s3 } from './s3.mjs';
import { socketio } from './socketio.mjs';
import { webdav } from './webdav.mjs';

const APPS = [git, webdav, caldav, s3, registry, chat, socketio, mqtt, grpc];
const HOSTS = ['serve', 'worker'];
/** The directory of the logs and of the table, which the next run empties. */
const DIRECTORY = fileURLToPath(new URL('../../target/apps', import.meta.url));

const option = { type: 'string' };
const { values: programs, positionals: names } = parseArgs({
  allowPositionals: true,
  options: { serve: option, worker: option, cache: option },
});

async function test() {
  const [apps, hosts, faults] = [APPS.map(({ name }) => name), HOSTS, Object.keys(FAULTS)].map(selected);
  const unknown = names.filter((name) => ![...apps, ...hosts, ...faults].includes(name));
  if (unknown.length > 0) throw new Error(`unknown: ${unknown.join(', ')}`);
  rmSync(DIRECTORY, { recursive: true, force: true });
  const packages = new Packages(programs.cache);
  const [rows, failures] = [[], []];
  for (const app of APPS.filter(({ name }) => apps.includes(name))) {
    const directory = join(DIRECTORY, app.name);
    mkdirSync(directory, { recursive: true });
    const running = await app.start({ directory, packages });
    if (running.skipped) {
      rows.push(`| ${app.name} | | | | not run: ${running.skipped} | | |`);
      console.log(rows.at(-1));
      continue;
    }
    for (const host of hosts.filter((host) => app.hosts.includes(host))) {
      for (const [fault, struck] of faults.flatMap((fault) => app.struck.map((struck) => [fault, struck]))) {
        const cell = { app: app.name, host, fault, struck };
        const found = [];
        try {
          const at = join(directory, [host, fault, struck ?? 'any'].join('-'));
          cell.results = await runCell({ ...cell, app, running, programs, directory: at });
          found.push(...violations(cell.results));
        } catch (error) {
          cell.failure = error.message;
          found.push(error.message);
        }
        failures.push(...found.map((text) => `${[app.name, host, fault, struck ?? 'any'].join(', ')}: ${text}`));
        rows.push(row(cell));
        console.log(rows.at(-1));
      }
    }
    await running.stop();
  }
  writeFileSync(join(DIRECTORY, 'table.md'), [HEADER, ...rows, ''].join('\n'));
  console.log(`\n${HEADER}\n${rows.join('\n')}\n`);
  for (const failure of failures) console.error(`apps: ${failure}`);
  if (failures.length > 0) process.exitCode = 1;
}

/** Returns the members that are named, or all if none is. */
function selected(members) {
  const named = members.filter((member) => names.includes(member));
  return named.length > 0 ? named : members;
}

for (const event of ['SIGINT', 'SIGTERM', 'SIGHUP', 'uncaughtException']) {
  process.once(event, (cause) => {
    console.error('apps: ended by', cause);
    endAll().then(() => process.exit(1));
  });
}
try {
  await test();
} catch (error) {
  console.error(error);
  process.exitCode = 1;
} finally {
  await endAll();
}
process.exit();

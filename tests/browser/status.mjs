// The status page in Chromium: with scripted reports, and of the real hosts.
//
// `cargo xtask test status-page` builds the hosts and runs this test. With `--images DIRECTORY`, it
// makes the pictures of the documentation instead.

import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { startBrowser } from './browser.mjs';
import { cases } from './status_cases.mjs';
import { controlCases } from './status_control.mjs';
import { Fixture } from './status_fixture.mjs';
import { Host, hostCases, Upstream } from './status_hosts.mjs';
import { saveImages } from './status_images.mjs';
import { measure } from './status_speed.mjs';
import { endAll } from '../node/processes.mjs';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
/** The directory of the logs, which the next run empties. */
const DIRECTORY = join(ROOT, 'target/status-page');

const option = { type: 'string' };
const { values: programs, positionals: filter } = parseArgs({
  allowPositionals: true, options: { chromium: option, cache: option, serve: option, worker: option, images: option },
});

let failures = 0;

async function test(browser) {
  if (programs.images) return saveImages(browser, { directory: DIRECTORY, programs }, programs.images);
  const upstreams = await Promise.all(['chat-a', 'chat-b', 'films-a'].map(Upstream.start));
  const services = { Chat: upstreams.slice(0, 2), Films: upstreams.slice(2) };
  const start = (kind) => Host.start(kind, { directory: join(DIRECTORY, kind), programs, services });
  const serve = await start('serve');
  const page = await pageOf(serve.page);
  for (const [name, run] of Object.entries({ ...cases, ...controlCases, ...measure })) {
    const fixture = await Fixture.start(page);
    await check(browser, name, () => run(browser, fixture));
    await fixture.close();
  }
  for (const [kind, host] of [['serve', serve], ['worker', await start('worker')]]) {
    for (const [name, run] of Object.entries(hostCases)) await check(browser, `${kind}: ${name}`, () => run(browser, host, upstreams));
  }
}

/** Runs one case, and leaves no page open. */
async function check(browser, name, run) {
  if (!filter.every((part) => name.includes(part))) return;
  const start = performance.now();
  try {
    await run();
    console.log(`ok      ${name} (${((performance.now() - start) / 1000).toFixed(1)} s)`);
  } catch (error) {
    failures += 1;
    console.log(`FAILED  ${name}`);
    console.error(error);
    const [context] = browser.contexts();
    await context?.pages()[0]?.screenshot({ path: join(DIRECTORY, 'failed.png') }).catch(() => {});
  }
  for (const context of browser.contexts()) await context.close();
}

/** The page as a host serves it: it is the same for every report. */
async function pageOf(url) {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`${url}: status ${response.status}`);
  const names = ['content-type', 'content-security-policy'];
  return { headers: Object.fromEntries(names.map((name) => [name, response.headers.get(name)])), body: await response.text() };
}

rmSync(DIRECTORY, { recursive: true, force: true });
mkdirSync(DIRECTORY, { recursive: true });
process.stdout.on('error', () => {}); // A closed pipe must not prevent the end of the programs.
const browser = await startBrowser(programs.chromium);
const finish = () => Promise.allSettled([browser.close(), endAll()]);
for (const event of ['SIGINT', 'SIGTERM', 'SIGHUP', 'uncaughtException']) {
  process.once(event, (cause) => {
    console.error('status-page: ended by', cause);
    finish().then(() => process.exit(1));
  });
}
try {
  await test(browser);
  if (failures) console.error(`status-page: ${failures} failed; logs and the last page are in ${DIRECTORY}`);
} catch (error) {
  console.error(error);
  failures += 1;
}
await finish();
process.exit(failures ? 1 : 0);

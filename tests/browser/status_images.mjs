// The pictures of the documentation: the page of `serve` with traffic, while a primary is stopped.
// The state file has the three weeks before. `pngquant` makes them small.

import { execFileSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { Host, TOKEN, Upstream } from './status_hosts.mjs';
import { StatusPage, until } from './status_page.mjs';

const MINUTE = 60_000, HOUR = 60 * MINUTE, DAY = 24 * HOUR;
const WINDOWS = {
  'status-light': { width: 1280, height: 980 },
  'status-dark': { width: 1280, height: 980, colorScheme: 'dark' },
  'status-phone': { width: 390, height: 844 },
};
const PUBLIC = { width: 820, height: 760 };

export async function saveImages(browser, options, directory) {
  mkdirSync(directory, { recursive: true });
  const names = { Chat: ['chat-a', 'chat-b'], Git: ['git-a', 'git-b', 'git-c'], Films: ['films-a', 'films-b'], Photos: ['photos-a'] };
  const services = {};
  for (const [title, servers] of Object.entries(names)) services[title] = await Promise.all(servers.map(Upstream.start));
  const host = await Host.start('serve', { ...options, services, state: stateOf(Date.now()) });
  const hosts = Object.keys(names).map((title) => `${title.toLowerCase()}.example.com`);
  const ends = hosts.map((name) => host.traffic(name));
  const open = (path, window) => StatusPage.open(browser, path, { deviceScaleFactor: 1, ...window });
  const waiting = await open(`${host.page}#token=${TOKEN}`);
  await waiting.shows('Chat');
  await new Promise((resolve) => setTimeout(resolve, 70_000)); // Two minutes on the chart.
  await services.Chat[0].stop();
  await until('the failover', async () => (await host.send()).server === 'chat-b');
  await new Promise((resolve) => setTimeout(resolve, 20_000));
  await waiting.close();
  for (const [name, window] of Object.entries(WINDOWS)) {
    const status = await open(`${host.page}#token=${TOKEN}`, window);
    await status.shows('chat-a is ', '[aria-label="Needs attention"]');
    await status.shows('under maintenance for', '[aria-label="Needs attention"]');
    await status.service('Chat').locator('h4').first().waitFor();
    await save(status, directory, name);
  }
  const status = await open(host.public, PUBLIC);
  await status.shows('Past incidents');
  await save(status, directory, 'status-public');
  for (const end of ends) await end();
}

async function save(status, directory, name) {
  const path = join(directory, `${name}.png`);
  await status.page.screenshot({ path });
  await status.close();
  execFileSync('pngquant', ['--force', '--strip', '--output', path, path]);
}

/** A state file: one outage of each kind, a drain and a maintenance. */
function stateOf(now) {
  const outage = (service, servers, from, length, reason, detail) => servers.flatMap((server) => [
    { at: from, event: 'server_unhealthy', service, server, reason, detail }, { at: from + length, event: 'server_healthy', service, server },
  ]);
  const drain = { action: 'drain', service: 'git.example.com', server: 'git-b', since: now - 12 * MINUTE, until: now + 48 * MINUTE, comment: 'new disk', origin: 'alice@laptop' };
  const maintenance = { action: 'maintenance', service: 'photos.example.com', on: true, since: now - 40 * MINUTE, comment: 'upgrade of the database', origin: 'alice@laptop' };
  const changed = ({ service, server, since, until, comment, origin }, detail) => ({ at: since, event: 'control_changed', service, server, detail, until, comment, origin });
  const history = [
    ...outage('chat.example.com', ['chat-a'], now - 15 * DAY, 40 * MINUTE, 'timeout', 'no response in 1 s'),
    ...outage('chat.example.com', ['chat-a', 'chat-b'], now - 9 * DAY, 2 * HOUR, 'connect_failed', 'connection refused'),
    ...outage('chat.example.com', ['chat-a'], now - 7 * HOUR, 25 * MINUTE, 'status', 'status 530'),
    ...outage('films.example.com', ['films-b'], now - 3 * DAY, 90 * MINUTE, 'timeout', 'no response in 1 s'),
    changed(drain, 'drain'), changed(maintenance, 'maintenance on'),
  ];
  return { version: 1, since: now - 21 * DAY, overrides: [drain, maintenance], history: history.sort((a, b) => a.at - b.at) };
}

// Installs the released program for this runner, after a comparison of its checksum.

import { createHash } from 'node:crypto';
import { appendFileSync, mkdtempSync, readdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { PROGRAM, capture, fail, input } from './lib.mjs';

/** The targets of releases, by the operating system and the processor of the runner. */
const TARGETS = {
  'Linux X64': 'x86_64-unknown-linux-musl',
  'Linux ARM64': 'aarch64-unknown-linux-musl',
  'macOS X64': 'x86_64-apple-darwin',
  'macOS ARM64': 'aarch64-apple-darwin',
  'Windows X64': 'x86_64-pc-windows-msvc',
};

/** The times between requests, in milliseconds. */
const PAUSES = [500, 1000, 2000];

/** The longest time of a request, in milliseconds. */
const TIMEOUT = 120_000;

const VERSION = /^v?(\d+\.\d+\.\d+(?:-[0-9A-Za-z.-]+)?)$/;

const runner = `${process.env.RUNNER_OS} ${process.env.RUNNER_ARCH}`;
const target = TARGETS[runner] ?? fail(`no release for ${runner}: expected one of ${Object.keys(TARGETS).join(', ')}`);
const repository = `${process.env.GITHUB_SERVER_URL}/${input('ACTION_REPOSITORY')}`;
const version = await releasedVersion();
const release = `${repository}/releases/download/v${version}`;
const archive = `${PROGRAM}-${version}-${target}.tar.gz`;

const [bytes, sums] = await Promise.all([download(`${release}/${archive}`), download(`${release}/SHA256SUMS`)]);
const lines = sums.toString().split('\n').map((line) => line.trim().split(/\s+\*?/));
const expected = lines.find(([, name]) => name === archive)?.[0] ?? fail(`SHA256SUMS of v${version} has no ${archive}`);
const found = createHash('sha256').update(bytes).digest('hex');
if (found !== expected) fail(`checksum of ${archive}: expected ${expected}, found ${found}`);

const folder = mkdtempSync(join(process.env.RUNNER_TEMP, `${PROGRAM}-`));
writeFileSync(join(folder, archive), bytes);
// Relative names: to the tar of Git for Windows, `C:` is a host.
const unpacked = capture('tar', ['-xzf', archive], { cwd: folder });
if (unpacked.status !== 0) fail(`cannot unpack ${archive}: ${unpacked.stderr.trim()}`);
// Completions may have the same name, in a folder.
const programs = readdirSync(folder, { recursive: true }).filter((path) => /(^|[\\/])tunnel-balancer(\.exe)?$/.test(path));
const [program] = programs.sort((one, other) => one.length - other.length);
if (program === undefined) fail(`${archive} has no ${PROGRAM}`);
appendFileSync(process.env.GITHUB_PATH, `${dirname(join(folder, program))}\n`);
console.log(`installed ${PROGRAM} ${version} (${target})`);

/** Returns the version of the input, of the tag of the action, or of the latest release. */
async function releasedVersion() {
  const wanted = input('VERSION');
  const named = VERSION.exec(wanted) ?? VERSION.exec(wanted === '' ? input('ACTION_REF') : '');
  if (named) return named[1];
  if (wanted !== '' && wanted !== 'latest') fail(`expected a version such as 0.1.0, found \`${wanted}\``);
  // The page of the latest release redirects to that of its tag.
  const { status, headers } = await request(`${repository}/releases/latest`, { redirect: 'manual' });
  const tag = headers.get('location')?.split('/').pop() ?? '';
  return VERSION.exec(tag)?.[1] ?? fail(`${repository} has no release (status ${status})`);
}

async function download(url) {
  const { status, body } = await request(url);
  if (status !== 200) fail(`cannot download ${url}: status ${status}`);
  return body;
}

/** Sends a request, again if the network or the server fails. */
async function request(url, options) {
  for (let attempt = 0; ; attempt += 1) {
    const response = await send(url, options);
    if (response.problem === undefined) return response;
    if (attempt === PAUSES.length) fail(`cannot download ${url}: ${response.problem}`);
    console.log(`cannot download ${url}: ${response.problem}; again in ${PAUSES[attempt]} ms`);
    await sleep(PAUSES[attempt]);
  }
}

/** Returns a response, or the problem that may have passed when the request is repeated. */
async function send(url, options) {
  try {
    const response = await fetch(url, { ...options, signal: AbortSignal.timeout(TIMEOUT) });
    const { status, headers } = response;
    if (status >= 500 || status === 429) return { problem: `status ${status}` };
    return { status, headers, body: Buffer.from(await response.arrayBuffer()) };
  } catch (error) {
    return { problem: error.cause?.message || error.message };
  }
}

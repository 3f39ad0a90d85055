// Deploys the first map. The differences are those to the commit before the push.

import { writeFileSync } from 'node:fs';
import { basename, join, posix } from 'node:path';

import { PROGRAM, fail, fileAt, input, maps, run, warn } from './lib.mjs';

/** What the exit codes of `deploy` mean. */
const FAILURES = {
  1: 'deployed, but a public hostname does not respond as expected: the log has its response',
  2: 'not deployed',
  3: 'wrangler failed: the log has its output',
};

if (input('CLOUDFLARE_API_TOKEN') === '') {
  fail('expected the input `api-token`: the secret with the API token of Cloudflare');
}
// An empty account would be used as one.
if (input('CLOUDFLARE_ACCOUNT_ID') === '') delete process.env.CLOUDFLARE_ACCOUNT_ID;

const folder = input('WORKING_DIRECTORY') || '.';
const [map] = maps();
const options = ['--yes', `--file=${posix.relative(folder, map)}`, `--wait=${input('WAIT')}`];
if (input('ENVIRONMENT') !== '') options.push(`--env=${input('ENVIRONMENT')}`);
const deployed = mapBefore(input('BEFORE'));
if (deployed !== undefined) options.push(`--deployed=${deployed}`);
const { status, errors } = await run(PROGRAM, ['deploy', ...options], { cwd: folder });
if (status !== 0) fail(`${FAILURES[status] ?? 'not deployed'}\n${errors}`.trim());

/** Writes the map of a commit into a file. Returns its path, if the commit has the map. */
function mapBefore(commit) {
  // A new branch, or another event than a push, has none.
  if (!/^[0-9a-f]{40,}$/.test(commit) || /^0+$/.test(commit)) return undefined;
  try {
    const yaml = fileAt(commit, map);
    if (yaml === undefined) return undefined;
    const path = join(process.env.RUNNER_TEMP, `before-${basename(map)}`);
    writeFileSync(path, yaml);
    return path;
  } catch (error) {
    warn(`the deployed map is unknown: ${error.message}`);
    return undefined;
  }
}

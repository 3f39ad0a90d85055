// Checks the maps. Errors and warnings become annotations.

import { existsSync } from 'node:fs';

import { PROGRAM, fail, inFolder, input, maps, run } from './lib.mjs';

const files = maps();
const options = ['--format=github', `--for=${input('PROGRAM')}`];
const config = inFolder('wrangler.toml');
// The routes are those of one map.
if (input('PROGRAM') === 'worker' && files.length === 1 && existsSync(config)) {
  options.push(`--wrangler=${config}`);
  if (input('ENVIRONMENT') !== '') options.push(`--env=${input('ENVIRONMENT')}`);
}
const { status, errors } = await run(PROGRAM, ['check', ...options, '--', ...files]);
// Errors in a map have annotations of their own.
if (errors !== '') fail(errors);
if (status === 0) console.log(`no errors: ${files.join(', ')}`);
process.exitCode = status;

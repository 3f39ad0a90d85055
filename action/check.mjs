// Checks the maps. Errors and warnings become annotations.

import { existsSync } from 'node:fs';

import { PROGRAM, inFolder, input, maps, run } from './lib.mjs';

const files = maps();
const options = ['--format=github', `--for=${input('PROGRAM')}`];
const config = inFolder('wrangler.toml');
// The routes are those of one map.
if (input('PROGRAM') === 'worker' && files.length === 1 && existsSync(config)) {
  options.push(`--wrangler=${config}`);
  if (input('ENVIRONMENT') !== '') options.push(`--env=${input('ENVIRONMENT')}`);
}
process.exitCode = run(PROGRAM, ['check', ...options, '--', ...files]);
if (process.exitCode === 0) console.log(`no errors: ${files.join(', ')}`);

// What the steps share: inputs, files, programs, and messages of the workflow.

import { spawn, spawnSync } from 'node:child_process';
import { posix } from 'node:path';

/** The program that `install.mjs` adds to the path. */
export const PROGRAM = 'tunnel-balancer';

// A step that fails has an annotation in any case.
process.on('uncaughtException', (error) => fail(error.message));

/** Returns an input, without spaces around it. */
export function input(name) {
  return (process.env[name] ?? '').trim();
}

/** Returns the paths of the maps, relative to the root of the repository: annotations need these. */
export function maps() {
  const files = input('FILES').split('\n').map((file) => file.trim()).filter((file) => file !== '');
  if (files.length === 0) fail('expected a map in `files`');
  return files.map((file) => inFolder(file));
}

/** Returns the path of a file of the working directory, relative to the root of the repository. */
export function inFolder(file) {
  return posix.normalize(posix.join(input('WORKING_DIRECTORY') || '.', file));
}

/** Runs a program whose output is that of the step. Returns its exit code, and its errors. */
export function run(command, args, options = {}) {
  const child = spawn(command, args, { stdio: ['inherit', 'inherit', 'pipe'], ...options });
  const chunks = [];
  child.stderr.on('data', (chunk) => {
    chunks.push(chunk);
    process.stderr.write(chunk);
  });
  return new Promise((resolve) => {
    child.on('error', (error) => fail(`cannot start ${command}: ${error.message}`));
    child.on('close', (status) => resolve({ status: status ?? 1, errors: errorsIn(Buffer.concat(chunks).toString()) }));
  });
}

/** Runs a program. Returns its exit code and its output. */
export function capture(command, args, options = {}) {
  const limits = { encoding: 'utf8', maxBuffer: 64 << 20 };
  const { status, error, stdout, stderr } = spawnSync(command, args, { ...limits, ...options });
  if (error) fail(`cannot start ${command}: ${error.message}`);
  return { status: status ?? 1, stdout, stderr };
}

/** Returns a file of a commit that is fetched if it is missing; `undefined` if there is none. */
export function fileAt(commit, file) {
  if (capture('git', ['cat-file', '-e', `${commit}^{commit}`]).status !== 0) {
    const fetched = capture('git', ['fetch', '--no-tags', '--depth=1', 'origin', commit]);
    if (fetched.status !== 0) throw new Error(`cannot fetch ${commit}: ${fetched.stderr.trim()}`);
  }
  const { status, stdout } = capture('git', ['show', `${commit}:${file}`]);
  return status === 0 ? stdout : undefined;
}

/** Prints a warning of the workflow. */
export function warn(message) {
  console.log(`::warning title=Tunnel Balancer::${escaped(message)}`);
}

/** Prints an error of the workflow, and ends the step. */
export function fail(message) {
  console.log(`::error title=Tunnel Balancer::${escaped(message)}`);
  process.exit(1);
}

/** Returns the part of an output that begins with the first error. */
function errorsIn(text) {
  const start = text.search(/^\s*((\S+: )?error\b|\S+ \[ERROR\])/m);
  return start < 0 ? '' : text.slice(start).trim();
}

function escaped(message) {
  return message.replaceAll('%', '%25').replaceAll('\r', '%0D').replaceAll('\n', '%0A');
}

// The program is in an optional package, one for each platform, of which npm installs one.

import { spawn } from 'node:child_process';
import { statSync } from 'node:fs';
import { createRequire } from 'node:module';
import { constants } from 'node:os';

const require = createRequire(import.meta.url);

const REINSTALL = '  hint: delete node_modules, and run `npm install`';

/** Runs the program with these arguments. This process ends as the program does. */
export function run(args) {
  let path;
  try {
    path = program();
  } catch (error) {
    process.stderr.write(`${error.message}\n`);
    process.exitCode = 1;
    return;
  }
  const child = spawn(path, args, { stdio: 'inherit' });
  const signals = forwardSignals(child);
  child.on('error', (error) => {
    const hint = error.code === 'EACCES' ? '\n  hint: allow its execution: permissions, or the mount option `noexec`' : '';
    process.stderr.write(`error: cannot start ${path}: ${error.message}${hint}\n`);
    process.exitCode = 1;
  });
  child.on('exit', (code, signal) => {
    for (const [name, listener] of signals) process.removeListener(name, listener);
    if (signal) process.kill(process.pid, signal);
    else process.exitCode = code;
  });
}

/** Returns the path of the program for this platform. */
function program() {
  const { optionalDependencies, version } = require('../package.json');
  const name = `tunnel-balancer-${process.platform}-${process.arch}`;
  if (!(name in optionalDependencies)) {
    const known = Object.keys(optionalDependencies).map((it) => it.replace('tunnel-balancer-', ''));
    throw new Error(
      `error: no program for ${process.platform}-${process.arch}, only for ${known.join(', ')}\n` +
        '  hint: build it with Rust: `cargo install --locked --path crates/cli` in a clone of the repository',
    );
  }
  let path;
  try {
    path = require.resolve(`${name}/bin/tunnel-balancer${process.platform === 'win32' ? '.exe' : ''}`);
  } catch {
    throw new Error(
      `error: the package ${name} is not installed\n` +
        '  hint: it is an optional dependency: install without `--no-optional` and `--omit=optional`\n' +
        '  hint: if package-lock.json was written on another platform, delete it and node_modules, and run `npm install`',
    );
  }
  const found = require(`${name}/package.json`);
  if (found.version !== version) {
    throw new Error(`error: expected ${name} in version ${version}, found ${found.version}\n${REINSTALL}`);
  }
  const { size } = statSync(path);
  // The system runs an empty file as a script, which succeeds.
  if (size !== found.programSize) {
    throw new Error(`error: expected ${found.programSize} bytes in ${path}, found ${size}\n${REINSTALL}`);
  }
  return path;
}

/**
 * Passes signals on to the program. The signals of a terminal reach the program directly: both
 * processes are in its foreground group.
 */
function forwardSignals(child) {
  const isOnTerminal = [process.stdin, process.stdout, process.stderr].some((stream) => stream.isTTY);
  const names = ['SIGHUP', 'SIGINT', 'SIGQUIT', 'SIGTERM', 'SIGUSR1', 'SIGUSR2', 'SIGBREAK'];
  return names
    .filter((name) => name in constants.signals)
    .map((name) => {
      const isOfTerminal = isOnTerminal && ['SIGINT', 'SIGQUIT', 'SIGBREAK'].includes(name);
      const listener = isOfTerminal ? () => {} : () => child.kill(name);
      process.on(name, listener);
      return [name, listener];
    });
}

// The program is in an optional package, one for each platform, of which npm installs one.

import { spawn } from 'node:child_process';
import { createRequire } from 'node:module';
import { constants } from 'node:os';

const require = createRequire(import.meta.url);

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
    process.stderr.write(`error: cannot start ${path}: ${error.message}\n`);
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
  const { optionalDependencies } = require('../package.json');
  const name = `tunnel-balancer-${process.platform}-${process.arch}`;
  if (!(name in optionalDependencies)) {
    const known = Object.keys(optionalDependencies).map((it) => it.replace('tunnel-balancer-', ''));
    throw new Error(
      `error: no program for ${process.platform}-${process.arch}, only for ${known.join(', ')}\n` +
        '  hint: build it with Rust: `cargo install --path crates/cli` in a clone of the repository',
    );
  }
  try {
    return require.resolve(`${name}/bin/tunnel-balancer${process.platform === 'win32' ? '.exe' : ''}`);
  } catch {
    throw new Error(
      `error: the package ${name} is not installed\n` +
        '  hint: it is an optional dependency: install without `--no-optional` and `--omit=optional`\n' +
        '  hint: if package-lock.json was written on another platform, delete it and node_modules, and run `npm install`',
    );
  }
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

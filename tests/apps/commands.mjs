// Servers and clients that are programs.

import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { freePort, Program } from '../node/processes.mjs';

/** Runs a command. Fails with its error output. */
export function run(command, args, options) {
  return new Promise((resolve, reject) => {
    const child = execFile(command, args, { maxBuffer: 16 << 20, ...options }, (error, output, errors) => {
      if (error) reject(new Error(errors.trim() || output.trim() || error.message));
      else resolve(output);
    });
    child.stdin.end();
  });
}

/** Starts HTTP servers in this process; `stop` ends them with their connections. */
export async function listen(...servers) {
  for (const server of servers) await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    ports: servers.map((server) => server.address().port),
    stop() {
      for (const server of servers) {
        server.close();
        server.closeAllConnections?.();
      }
    },
  };
}

/** Starts the same server on several ports. `matches` are those of `ready`. */
export async function startPrograms({ name, command, args, ready, directory, env, count = 2 }) {
  const [programs, ports, matches] = [[], [], []];
  for (let index = 0; index < count; index += 1) {
    const port = await freePort();
    const options = { cwd: directory, env: { ...process.env, ...env } };
    const log = join(directory, `server-${index}.log`);
    const [program, match] = await Program.start({ name, command, args: args(port), options, log, ready });
    programs.push(program);
    ports.push(port);
    matches.push(match);
  }
  const stop = () => Promise.all(programs.map((program) => program.end()));
  return { ports, matches, stop };
}

/** Starts a client that uses `steps.py`. `kinds` has the kind of each step by its name. */
export async function pythonClient({ python, args, directory, kinds }) {
  const log = join(directory, 'client.log');
  const [program] = await Program.start({ name: 'the client', command: python, args, log, ready: /^ready$/ });
  const lines = createInterface({ input: program.child.stdout });
  const run = async (name) => {
    program.child.stdin.write(`${name}\n`);
    const [line] = await once(lines, 'line');
    const error = JSON.parse(line);
    if (error) throw new Error(error);
  };
  const steps = Object.entries(kinds).map(([name, kind]) => ({ name, kind, run: () => run(name) }));
  return { steps, close: () => program.end() };
}

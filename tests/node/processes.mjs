// Child processes. All of them are ended by their process ids, also if the test fails.

import { execFileSync, spawn } from 'node:child_process';
import { createWriteStream } from 'node:fs';
import { createServer } from 'node:net';
import { createInterface } from 'node:readline';

/** The time limit of every wait in milliseconds. It is long, because the machine may be busy. */
export const TIMEOUT = 90_000;

/** All running programs, the latest last. */
const running = [];

/** A program whose output is written to a file. */
export class Program {
  /** Resolves with the match of `ready` in a line of the output. Fails if the program ends before, or times out. */
  static start({ name, command, args, options, log, ready }) {
    // In a separate process group: on Ctrl-C the test ends its programs in order.
    const child = spawn(command, args, { ...options, detached: true, stdio: ['pipe', 'pipe', 'pipe'] });
    child.stdin.on('error', () => {}); // It has ended already.
    const program = new Program(name, child);
    running.push(program);
    const file = createWriteStream(log);
    return new Promise((resolve, reject) => {
      const fail = (reason) => reject(new Error(`${name} ${reason}; its output is in ${log}`));
      const timer = setTimeout(() => fail('did not start'), TIMEOUT);
      child.on('error', (error) => fail(`cannot be started (${error.message})`));
      program.exited.then((status) => fail(`ended (${status})`)).finally(() => clearTimeout(timer));
      for (const output of [child.stdout, child.stderr]) {
        createInterface({ input: output }).on('line', (line) => {
          file.write(`${line}\n`);
          const match = ready.exec(line);
          if (match) {
            clearTimeout(timer);
            resolve([program, match]);
          }
        });
      }
    });
  }

  constructor(name, child) {
    this.name = name;
    this.child = child;
    this.exited = new Promise((resolve) => {
      child.on('exit', (code, signal) => resolve(signal ?? `exit code ${code}`));
      child.on('error', () => resolve('never started'));
    });
  }

  get pid() {
    return this.child.pid;
  }

  /** Kills the program and its descendants, as a power failure does. */
  async kill() {
    for (const pid of [this.pid, ...descendants(this.pid)]) signal(pid, 'SIGKILL');
    await this.exited;
  }

  /** Terminates the program, and kills it after 10 s. */
  async end() {
    if (this.pid === undefined) return;
    const timer = setTimeout(() => this.kill(), 10_000);
    this.child.stdin.end();
    signal(this.pid, 'SIGTERM');
    await this.exited;
    clearTimeout(timer);
  }
}

/** Ends all running programs, the latest first. */
export async function endAll() {
  for (const program of running.splice(0).reverse()) await program.end();
}

/** Returns a port that no server listens on. */
export function freePort() {
  return new Promise((resolve, reject) => {
    const server = createServer().on('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}

function descendants(pid) {
  const table = execFileSync('ps', ['-A', '-o', 'pid=,ppid='], { encoding: 'utf8' });
  const processes = table.trim().split('\n').map((line) => line.trim().split(/\s+/).map(Number));
  const below = (parent) => processes.filter(([, of]) => of === parent).flatMap(([child]) => [child, ...below(child)]);
  return below(pid);
}

function signal(pid, name) {
  try {
    process.kill(pid, name);
  } catch (error) {
    if (error.code !== 'ESRCH') throw error; // It has ended already.
  }
}

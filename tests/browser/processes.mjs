// Starting and ending programs. Whatever a test starts is ended by its process id, also when the
// test fails.

import { execFileSync, spawn } from 'node:child_process';
import { createWriteStream } from 'node:fs';
import { createInterface } from 'node:readline';

/** How long anything may take before it counts as a hang. Generous, because machines are busy; nothing is measured. */
export const PATIENCE = 90_000;

/** Everything that runs, the latest last. */
const running = [];

/** A program, with its output in a file of its own. */
export class Program {
  /** Resolves with the match of `ready` in a line of its output; fails when it ends before, or says nothing for too long. */
  static start({ name, command, args, options, log, ready }) {
    // A group of its own: Ctrl-C in the terminal is for the test, which ends its programs in order.
    const child = spawn(command, args, { ...options, detached: true, stdio: ['pipe', 'pipe', 'pipe'] });
    child.stdin.on('error', () => {}); // It has ended already.
    const program = new Program(name, child);
    running.push(program);
    const file = createWriteStream(log);
    return new Promise((resolve, reject) => {
      const refuse = (why) => reject(new Error(`${name} ${why}; what it said is in ${log}`));
      const timer = setTimeout(() => refuse('did not start'), PATIENCE);
      child.on('error', (error) => refuse(`cannot be started (${error.message})`));
      program.over.then((how) => refuse(`ended (${how})`)).finally(() => clearTimeout(timer));
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
    this.over = new Promise((resolve) => {
      child.on('exit', (code, signal) => resolve(signal ?? `exit code ${code}`));
      child.on('error', () => resolve('never started'));
    });
  }

  get pid() {
    return this.child.pid;
  }

  /** Ends it and all that it started at once, as when its machine loses power. */
  async kill() {
    for (const pid of [this.pid, ...descendants(this.pid)]) signal(pid, 'SIGKILL');
    await this.over;
  }

  /** Asks it to end, and insists when it does not. */
  async end() {
    if (this.pid === undefined) return;
    const insist = setTimeout(() => this.kill(), 10_000);
    this.child.stdin.end();
    signal(this.pid, 'SIGTERM');
    await this.over;
    clearTimeout(insist);
  }
}

/** Ends whatever still runs, the latest first. */
export async function endAll() {
  for (const program of running.splice(0).reverse()) await program.end();
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

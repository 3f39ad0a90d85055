// A machine with Node and nothing else: Debian's smallest system in a chroot.

import { execFileSync } from 'node:child_process';
import {
  existsSync, mkdirSync, readdirSync, readFileSync, readlinkSync, realpathSync, renameSync, rmSync, symlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';

export class Machine {
  /** Creates it in `root`. The system is installed once, into `cache`. */
  static create(root, cache) {
    if (process.getuid() !== 0) throw new Error('a chroot needs root');
    const base = join(cache, 'journey-base');
    if (!existsSync(base)) install(base);
    rmSync(root, { recursive: true, force: true });
    execFileSync('cp', ['-a', base, root]);
    addNode(root);
    writeFileSync(join(root, 'etc/hosts'), '127.0.0.1 localhost\n');
    execFileSync('mount', ['-t', 'proc', 'proc', join(root, 'proc')]);
    return new Machine(root);
  }

  constructor(root) {
    this.root = root;
  }

  /** Returns the command, arguments and options with which a line of the shell runs in a directory below `/root`. */
  shell(line, directory = '', variables = {}) {
    const environment = { HOME: '/root', PATH: '/usr/bin:/bin', CI: '1', WRANGLER_SEND_METRICS: 'false', ...variables };
    const assignments = Object.entries(environment).map(([name, value]) => `${name}=${value}`);
    const args = [this.root, '/usr/bin/env', '-i', ...assignments, 'sh', '-c', `cd '${join('/root', directory)}' && exec ${line}`];
    return { command: 'chroot', args };
  }

  /** Ends its processes, and removes it. */
  remove() {
    const ids = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
    for (const id of ids.filter((id) => rootOf(id) === this.root)) process.kill(Number(id), 'SIGKILL');
    execFileSync('umount', [join(this.root, 'proc')]);
    rmSync(this.root, { recursive: true, force: true });
  }
}

function install(base) {
  const codename = /^VERSION_CODENAME=(.*)$/m.exec(readFileSync('/etc/os-release', 'utf8'))?.[1];
  console.log(`installing Debian's smallest system into ${base} (a minute, once per machine)`);
  rmSync(`${base}.new`, { recursive: true, force: true });
  mkdirSync(dirname(base), { recursive: true });
  try {
    execFileSync('debootstrap', ['--variant=minbase', codename, `${base}.new`], { stdio: ['ignore', 'ignore', 'inherit'] });
  } catch (error) {
    throw new Error(`debootstrap failed (\`apt-get install debootstrap\` installs it): ${error.message}`);
  }
  renameSync(`${base}.new`, base);
}

/** Returns the root directory of a process, if it still runs. */
function rootOf(id) {
  try {
    return readlinkSync(join('/proc', id, 'root'));
  } catch {
    return undefined;
  }
}

/** Copies Node and npm. They need no library that the system lacks. */
function addNode(root) {
  const [node, npm] = ['node', 'npm'].map((name) => realpathSync(execFileSync('which', [name], { encoding: 'utf8' }).trim()));
  execFileSync('cp', [node, join(root, 'usr/bin/node')]);
  mkdirSync(join(root, 'usr/lib/node_modules'), { recursive: true });
  execFileSync('cp', ['-a', dirname(dirname(npm)), join(root, 'usr/lib/node_modules/npm')]);
  for (const name of ['npm', 'npx']) symlinkSync(`../lib/node_modules/npm/bin/${name}-cli.js`, join(root, 'usr/bin', name));
}

// WebDAV: two WsgiDAV servers with a shared directory, and litmus, a test suite for WebDAV servers.
// Its suites `props` and `locks` are left out: WsgiDAV alone does not pass them. So is `http`: it
// needs `100 Continue`, which workerd does not send.

import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { run, startPrograms } from './commands.mjs';

const SUITES = ['basic', 'copymove'];

export const webdav = {
  name: 'webdav',
  hosts: ['serve', 'worker'],
  health: '/',
  service: '    health_check: { path: / }\n',
  struck: [undefined, 'MKCOL'],

  async start({ directory, packages }) {
    const litmus = packages.debian('litmus', 'libneon27-gnutls');
    if (!litmus) return { skipped: 'litmus is not installed' };
    const files = join(directory, 'files');
    mkdirSync(files);
    writeFileSync(join(files, 'a-file'), 'contents\n');
    const args = ['-m', 'wsgidav.server.server_cli', '--host', '127.0.0.1', '--root', files, '--auth', 'anonymous'];
    const servers = await startPrograms({
      name: 'WsgiDAV',
      command: packages.python,
      args: (port) => [...args, '--port', String(port)],
      ready: /Serving on /,
      directory,
    });
    return { ...servers, client: (options) => client({ ...options, litmus }) };
  },
};

function client({ url, directory, litmus }) {
  const env = { PATH: process.env.PATH, LD_LIBRARY_PATH: join(litmus, 'usr/lib', debianArchitecture()) };
  const options = { cwd: directory, env };
  const suite = (name) => {
    const program = join(litmus, 'usr/libexec/litmus', name);
    const args = ['--htdocs', join(litmus, 'usr/share/litmus/htdocs'), `${url}/`];
    return { name: `litmus ${name}`, kind: 'post', run: () => run(program, args, options) };
  };
  const read = async () => {
    const response = await fetch(`${url}/a-file`);
    if (await response.text() !== 'contents\n') throw new Error(`status ${response.status}`);
  };
  return { steps: [{ name: 'open a file', kind: 'safe', run: read }, ...SUITES.map(suite)] };
}

/** The directory of libraries on this machine, as Debian names it. */
function debianArchitecture() {
  return { x64: 'x86_64-linux-gnu', arm64: 'aarch64-linux-gnu' }[process.arch] ?? '';
}

// git over HTTP: two servers with `git http-backend` and a shared directory of repositories.

import { execFileSync, spawn } from 'node:child_process';
import { appendFileSync, mkdirSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { listen, run } from './commands.mjs';

const ENVIRONMENT = {
  PATH: process.env.PATH,
  GIT_CONFIG_GLOBAL: '/dev/null',
  GIT_CONFIG_SYSTEM: '/dev/null',
  GIT_TERMINAL_PROMPT: '0',
  GIT_AUTHOR_NAME: 'a', GIT_AUTHOR_EMAIL: 'a@example.com',
  GIT_COMMITTER_NAME: 'a', GIT_COMMITTER_EMAIL: 'a@example.com',
};

export const git = {
  name: 'git',
  hosts: ['serve', 'worker'],
  health: '/health',
  service: '    health_check: { path: /health }\n',
  struck: [undefined, 'POST'],

  async start({ directory }) {
    const root = join(directory, 'repositories');
    mkdirSync(root);
    const { ports, stop } = await listen(backend(root), backend(root));
    let created = 0;
    return { ports, stop, client: (options) => client({ ...options, root, name: `repository-${created += 1}.git` }) };
  },
};

/** A server that runs `git http-backend` as CGI. */
function backend(root) {
  return createServer((request, response) => {
    const { pathname, searchParams } = new URL(request.url, 'http://localhost');
    if (pathname === '/health') return response.end('ok\n');
    const env = {
      ...ENVIRONMENT,
      GIT_PROJECT_ROOT: root,
      GIT_HTTP_EXPORT_ALL: '1',
      REQUEST_METHOD: request.method,
      PATH_INFO: pathname,
      QUERY_STRING: searchParams.toString(),
      CONTENT_TYPE: request.headers['content-type'] ?? '',
      HTTP_CONTENT_ENCODING: request.headers['content-encoding'] ?? '',
      GIT_PROTOCOL: request.headers['git-protocol'] ?? '',
      REMOTE_ADDR: '127.0.0.1',
      REMOTE_USER: 'a',
    };
    const child = spawn('git', ['http-backend'], { env, stdio: ['pipe', 'pipe', 'inherit'] });
    child.stdin.on('error', () => {});
    request.on('close', () => request.complete || child.kill()).pipe(child.stdin);
    respond(child.stdout, response);
  });
}

/** Passes a CGI response on. */
function respond(output, response) {
  let head = Buffer.alloc(0);
  output.on('data', function read(data) {
    head = Buffer.concat([head, data]);
    const end = head.indexOf('\r\n\r\n');
    if (end < 0) return;
    output.off('data', read);
    const fields = head.subarray(0, end).toString().split('\r\n').map((line) => line.split(/:\s*/, 2));
    const status = fields.find(([name]) => name === 'Status')?.[1] ?? '200';
    for (const [name, value] of fields) if (name !== 'Status') response.setHeader(name, value);
    response.writeHead(parseInt(status, 10));
    response.write(head.subarray(end + 4));
    output.pipe(response);
  });
  output.on('end', () => response.headersSent || response.writeHead(500).end());
}

/** A repository with one commit and a working copy. */
function client({ url, directory, root, name }) {
  const work = join(directory, 'work');
  const git = (...args) => run('git', args, { env: ENVIRONMENT, cwd: directory });
  const inWork = (...args) => execFileSync('git', ['-C', work, ...args], { env: ENVIRONMENT, stdio: 'pipe' });
  execFileSync('git', ['init', '--quiet', '--bare', '--initial-branch=main', join(root, name)], { env: ENVIRONMENT });
  execFileSync('git', ['-C', join(root, name), 'config', 'http.receivepack', 'true'], { env: ENVIRONMENT });
  execFileSync('git', ['init', '--quiet', '--initial-branch=main', work], { env: ENVIRONMENT });
  inWork('remote', 'add', 'origin', `${url}/${name}`);
  let clones = 0;
  return {
    steps: [
      { name: 'clone', kind: 'post', run: () => git('clone', '--quiet', `${url}/${name}`, `clone-${clones += 1}`) },
      {
        name: 'push',
        kind: 'post',
        run() {
          appendFileSync(join(work, 'file'), 'a line\n');
          inWork('add', 'file');
          inWork('commit', '--quiet', '-m', 'Add a line');
          return git('-C', work, 'push', '--quiet', 'origin', 'main');
        },
      },
      { name: 'fetch', kind: 'post', run: () => git('-C', work, 'fetch', '--quiet', 'origin') },
    ],
  };
}

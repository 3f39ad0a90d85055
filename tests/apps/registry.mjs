// An npm registry: two Verdaccio servers with a shared directory, and npm.

import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { run, startPrograms } from './commands.mjs';

const CONFIG = `storage: ./storage
auth: { htpasswd: { file: ./htpasswd, max_users: -1 } }
packages: { '**': { access: $all, publish: $all } }
web: { enable: false }
log: { type: stdout, format: json, level: http }
`;

export const registry = {
  name: 'npm',
  hosts: ['serve', 'worker'],
  health: '/-/ping',
  service: '    health_check: { path: /-/ping }\n',
  struck: [undefined, 'PUT'],

  async start({ directory, packages }) {
    writeFileSync(join(directory, 'config.yaml'), CONFIG);
    const args = [join(packages.node, 'node_modules/verdaccio/bin/verdaccio'), '--config', join(directory, 'config.yaml')];
    const servers = await startPrograms({
      name: 'Verdaccio',
      command: process.execPath,
      args: (port) => [...args, '--listen', `127.0.0.1:${port}`],
      ready: /http address/,
      directory,
    });
    let created = 0;
    return { ...servers, client: (options) => client({ ...options, name: `package-${created += 1}` }) };
  },
};

function client({ url, directory, name }) {
  const npmrc = join(directory, 'npmrc');
  const lines = [
    `registry=${url}/`,
    `//${new URL(url).host}/:_authToken=anonymous`,
    'fetch-retries=0', // To see the retries of the balancer.
    'replace-registry-host=always', // Verdaccio's own addresses are those of the servers.
    'update-notifier=false',
    'audit=false',
  ];
  writeFileSync(npmrc, `${lines.join('\n')}\n`);
  const work = join(directory, 'package');
  mkdirSync(work);
  let [version, runs] = [0, 0];
  const npm = (at, ...args) => {
    mkdirSync(at, { recursive: true });
    // An empty cache each time, so that npm has to send requests.
    const cache = join(directory, `cache-${runs += 1}`);
    const env = { PATH: process.env.PATH, HOME: directory, npm_config_userconfig: npmrc, npm_config_cache: cache };
    return run('npm', args, { cwd: at, env });
  };
  return {
    steps: [
      {
        name: 'publish',
        kind: 'post',
        run() {
          version += 1;
          writeFileSync(join(work, 'package.json'), JSON.stringify({ name, version: `1.0.${version}` }));
          return npm(work, 'publish');
        },
      },
      { name: 'view', kind: 'safe', run: () => npm(directory, 'view', name) },
      {
        name: 'install',
        kind: 'safe',
        run() {
          const project = join(directory, `install-${runs}`);
          mkdirSync(project);
          // Without this file, npm installs into the directory above that has one: the checkout.
          writeFileSync(join(project, 'package.json'), '{}');
          return npm(project, 'install', name);
        },
      },
    ],
  };
}

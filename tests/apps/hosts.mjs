// The two hosts in front of the applications: `tunnel-balancer serve`, and the Worker on workerd.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { freePort, Program } from '../node/processes.mjs';

/** Starts a host that sends `localhost:PORT` to the ports of two servers. */
export async function startHost({ host, programs, ports, server = '', service, tls, directory }) {
  const port = await freePort();
  const scheme = tls ? 'https' : 'http';
  const url = `${scheme}://localhost:${port}`;
  const services = join(directory, 'services.yaml');
  const address = (index) => `${scheme}://localhost:${ports[index]}`;
  const line = (name, index) => `      - { url: "${address(index)}", name: ${name}${server} }\n`;
  const servers = ['a', 'b'].map(line).join('');
  writeFileSync(services, `services:\n  "localhost:${port}":\n    servers:\n${servers}${service}`);
  const log = join(directory, 'host.log');
  const name = `${host} in ${directory}`;
  if (host === 'worker') {
    const args = [services, '--port', String(port)];
    const [program] = await Program.start({ name, command: programs.worker, args, log, ready: /^listening on / });
    return { program, url };
  }
  const args = ['serve', '-f', services, '--listen', `127.0.0.1:${port}`];
  if (tls) args.push('--tls-cert', tls.files.cert, '--tls-key', tls.files.key);
  const options = { env: { ...process.env, ...(tls && { SSL_CERT_FILE: tls.files.cert }) } };
  const ready = /"event":"listening"/;
  const [program] = await Program.start({ name, command: programs.serve, args, options, log, ready });
  return { program, url };
}

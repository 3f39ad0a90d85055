// S3 with signatures: moto checks them, and boto3 is the client. A signature covers `Host`, so the
// servers have to receive the public host.

import { fileURLToPath } from 'node:url';
import { pythonClient, startPrograms } from './commands.mjs';

const CLIENT = fileURLToPath(new URL('s3_client.py', import.meta.url));
const SERVER = fileURLToPath(new URL('s3_server.py', import.meta.url));

export const s3 = {
  name: 's3',
  // `fetch` sends the host of the URL; there, cloudflared's httpHostHeader is needed.
  hosts: ['serve'],
  health: '/moto-api/',
  server: ', host_header: public',
  service: '    health_check: { path: /moto-api/ }\n',
  struck: [undefined, 'PUT'],

  async start({ directory, packages }) {
    const { python } = packages;
    // The objects are in memory, so both ways lead to one server.
    const args = (port) => [SERVER, String(port)];
    const servers = await startPrograms({ name: 'moto', command: python, args, ready: /^listening (\S+) (\S+)$/, directory, count: 1 });
    const [port] = servers.ports;
    const [, ...key] = servers.matches[0];
    const client = ({ url, directory }) => pythonClient({ python, args: [CLIENT, url, ...key], directory, kinds: KINDS });
    return { ...servers, ports: [port, port], client };
  },
};

const KINDS = { 'get an object': 'safe', 'put an object': 'safe', 'list the objects': 'safe' };

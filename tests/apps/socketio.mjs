// socket.io: two servers with sessions in memory. The client begins with polling and upgrades to a
// WebSocket, as in a browser.

import { createServer } from 'node:http';
import { listen } from './commands.mjs';

/** The longest time for an acknowledgement, in milliseconds. */
const ACKNOWLEDGED = 60_000;

export const socketio = {
  name: 'socket.io',
  hosts: ['serve', 'worker'],
  health: '/health',
  service: '    health_check: { path: /health }\n',
  struck: [undefined],

  async start({ packages }) {
    const { Server } = packages.load('socket.io');
    const servers = [server(Server), server(Server)];
    const { ports, stop } = await listen(...servers.map(({ http }) => http));
    const { io } = packages.load('socket.io-client');
    return {
      ports,
      client: (options) => client(io, options),
      stop() {
        for (const { sockets } of servers) sockets.close();
        stop();
      },
    };
  },
};

function server(Server) {
  const http = createServer((request, response) => response.end('ok\n'));
  const sockets = new Server(http);
  sockets.on('connection', (socket) => socket.on('message', (text, acknowledge) => acknowledge(text)));
  return { http, sockets };
}

async function client(io, { url }) {
  const socket = io(url, { forceNew: true });
  await new Promise((resolve) => socket.io.engine.once('upgrade', resolve));
  return {
    steps: [
      { name: 'send a message', kind: 'stream', run: () => socket.timeout(ACKNOWLEDGED).emitWithAck('message', 'hello') },
      {
        name: 'open another page',
        kind: 'stream',
        async run() {
          const page = io(url, { forceNew: true });
          try {
            await page.timeout(ACKNOWLEDGED).emitWithAck('message', 'hello');
          } finally {
            page.close();
          }
        },
      },
    ],
    close: () => socket.close(),
  };
}

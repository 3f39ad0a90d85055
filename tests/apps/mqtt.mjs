// MQTT over WebSocket: two brokers, each with its own memory, and mqtt.js.

import { createServer } from 'node:http';
import { once } from 'node:events';
import { listen } from './commands.mjs';

export const mqtt = {
  name: 'mqtt',
  hosts: ['serve', 'worker'],
  health: '/health',
  service: '    health_check: { path: /health }\n',
  struck: [undefined],

  async start({ packages }) {
    const brokers = [await broker(packages), await broker(packages)];
    const { ports, stop } = await listen(...brokers.map(({ http }) => http));
    const client = ({ url }) => connect(packages.load('mqtt'), url.replace('http', 'ws'));
    return {
      ports,
      client,
      stop() {
        for (const { aedes } of brokers) aedes.close();
        stop();
      },
    };
  },
};

async function broker(packages) {
  const aedes = await packages.load('aedes').Aedes.createBroker();
  const http = createServer((request, response) => response.end('ok\n'));
  const { WebSocketServer, createWebSocketStream } = packages.load('ws');
  const sockets = new WebSocketServer({ server: http });
  sockets.on('connection', (socket, request) => aedes.handle(createWebSocketStream(socket), request));
  return { aedes, http };
}

async function connect(mqtt, url) {
  // The client detects a silent connection after 1.5 times this time.
  const client = mqtt.connect(url, { keepalive: 5, reconnectPeriod: 500 });
  client.on('error', () => {}); // It reconnects by itself.
  await once(client, 'connect');
  let sent = 0;
  return {
    steps: [
      {
        name: 'publish and receive',
        kind: 'stream',
        async run() {
          if (!client.connected) await new Promise((resolve) => client.once('connect', resolve));
          const text = String(sent += 1);
          await new Promise((resolve, reject) => {
            client.once('close', () => reject(new Error('the connection ended')));
            exchange(client, text).then(resolve, reject);
          });
        },
      },
    ],
    close: () => client.endAsync(true),
  };
}

/** Publishes a payload, and waits for it as a subscriber. */
async function exchange(client, text) {
  await client.subscribeAsync('house/#', { qos: 1 });
  const received = new Promise((resolve) => {
    client.on('message', function read(topic, message) {
      if (message.toString() !== text) return;
      client.off('message', read);
      resolve();
    });
  });
  await client.publishAsync('house/lamp', text, { qos: 1 });
  await received;
}

// A chat whose responses are streams of events, in the format of the OpenAI API.

import { createServer } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { listen } from './commands.mjs';

const TOKENS = ['one ', 'two ', 'three ', 'four '];

export const chat = {
  name: 'chat',
  hosts: ['serve', 'worker'],
  health: '/health',
  service: '    health_check: { path: /health }\n',
  struck: [undefined, 'POST'],

  async start() {
    return { ...await listen(server(), server()), client };
  },
};

function server() {
  return createServer((request, response) => {
    request.resume();
    if (request.method === 'POST') return stream(response);
    response.setHeader('content-type', 'application/json');
    response.end('{"object":"list","data":[{"id":"a-model"}]}');
  });
}

async function stream(response) {
  response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-cache' });
  for (const content of TOKENS) {
    response.write(`data: ${JSON.stringify({ choices: [{ delta: { content } }] })}\n\n`);
    await sleep(50);
  }
  response.end('data: [DONE]\n\n');
}

function client({ url }) {
  const checked = (response) => {
    if (!response.ok) throw new Error(`status ${response.status}`);
    return response;
  };
  return {
    steps: [
      { name: 'list the models', kind: 'safe', run: async () => checked(await fetch(`${url}/v1/models`)).json() },
      {
        name: 'send a message',
        kind: 'post',
        async run() {
          const body = JSON.stringify({ stream: true, messages: [{ role: 'user', content: 'count' }] });
          const headers = { 'content-type': 'application/json' };
          const response = checked(await fetch(`${url}/v1/chat/completions`, { method: 'POST', headers, body }));
          const text = await response.text();
          if (!text.endsWith('data: [DONE]\n\n')) throw new Error('the stream ended early');
        },
      },
    ],
  };
}

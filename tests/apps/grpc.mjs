// gRPC over TLS, from the client to the servers. Every call is a POST.

import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const text = { serialize: (value) => Buffer.from(value), deserialize: String };
const method = (path, responseStream) => ({
  path,
  requestStream: false,
  responseStream,
  requestSerialize: text.serialize,
  requestDeserialize: text.deserialize,
  responseSerialize: text.serialize,
  responseDeserialize: text.deserialize,
});
const SERVICE = { say: method('/example.Talk/Say', false), count: method('/example.Talk/Count', true) };

export const grpc = {
  name: 'grpc',
  // workerd has no HTTP/2 server.
  hosts: ['serve'],
  health: '/',
  // A gRPC server has no page, but responds to a GET.
  service: '    health_check: { path: /, expect_status: 415 }\n',
  struck: [undefined],

  async start({ directory, packages }) {
    const grpc = packages.load('@grpc/grpc-js');
    const tls = certificate(directory);
    const servers = [await server(grpc, tls), await server(grpc, tls)];
    return {
      tls,
      ports: servers.map(({ port }) => port),
      client: ({ url }) => client(grpc, tls, new URL(url).host),
      stop() {
        for (const { server } of servers) server.forceShutdown();
      },
    };
  },
};

function certificate(directory) {
  const files = { key: join(directory, 'key.pem'), cert: join(directory, 'cert.pem') };
  const config = join(directory, 'openssl.cnf');
  writeFileSync(config, `[req]
distinguished_name = name
x509_extensions = extensions
prompt = no
[name]
CN = localhost
[extensions]
basicConstraints = critical, CA:FALSE
subjectAltName = DNS:localhost
`);
  const args = ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2'];
  execFileSync('openssl', [...args, '-config', config, '-keyout', files.key, '-out', files.cert], { stdio: 'pipe' });
  return { files, key: readFileSync(files.key), cert: readFileSync(files.cert) };
}

async function server(grpc, { key, cert }) {
  const server = new grpc.Server();
  server.addService(SERVICE, {
    say: (call, reply) => reply(null, call.request),
    async count(call) {
      for (const number of ['1', '2', '3']) {
        call.write(number);
        await sleep(50);
      }
      call.end();
    },
  });
  const credentials = grpc.ServerCredentials.createSsl(null, [{ private_key: key, cert_chain: cert }]);
  const port = await new Promise((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', credentials, (error, port) => (error ? reject(error) : resolve(port)));
  });
  return { server, port };
}

function client(grpc, { cert }, host) {
  const Client = grpc.makeGenericClientConstructor(SERVICE, 'Talk');
  // Without retries of the client, to see those of the balancer.
  const client = new Client(host, grpc.credentials.createSsl(cert), { 'grpc.enable_retries': 0 });
  const say = () => new Promise((resolve, reject) => {
    client.say('hello', (error, response) => (error ? reject(error) : resolve(response)));
  });
  const count = () => new Promise((resolve, reject) => {
    client.count('to three').on('data', () => {}).on('error', reject).on('end', resolve);
  });
  return {
    steps: [{ name: 'call', kind: 'post', run: say }, { name: 'call with a stream', kind: 'post', run: count }],
    close: () => client.close(),
  };
}

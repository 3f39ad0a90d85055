// Runs the built Worker with real Durable Objects, KV, caches and cron triggers.
//
// The argument is a JSON object: `directory` of the build, `persist` for storage, and `workers`: a
// list of `{ name, yaml, secrets, bindings }`. `yaml` is the module services.yaml. `bindings` is a
// list of `kv`, `object`, `counted object` and `hung object`. All workers share the namespace and
// the object of `owner`, which is one of them, or runs in another process with the same `registry`.
// Prints one line of JSON with the URL of each worker, then the logs, and ends with its standard
// input.

import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { join, resolve } from 'node:path';
import { Log, LogLevel, Miniflare } from 'miniflare';

const { directory, persist, registry, owner, workers } = JSON.parse(process.argv[2]);
const ROOT = resolve(import.meta.dirname, '../..');

// A module at a path of the repository.
const module = (type, path, contents = readFileSync(join(ROOT, path))) => ({ type, path: join(ROOT, path), contents });

// An object that logs its requests, and the rows that each run of its alarm has written.
const counted = `
  import { Monitor } from './worker.js';
  export { default, Monitor } from './worker.js';
  export class Counted {
    rows = 0;
    constructor({ storage }, env) {
      const exec = (...query) => {
        const cursor = storage.sql.exec(...query);
        this.rows += cursor.rowsWritten;
        return cursor;
      };
      // Setting an alarm writes one row.
      const setAlarm = (...time) => {
        this.rows += 1;
        return storage.setAlarm(...time);
      };
      this.monitor = new Monitor({ storage: { sql: { exec }, setAlarm } }, env);
    }
    fetch(request) {
      console.log(JSON.stringify({ event: 'object_request', path: new URL(request.url).pathname }));
      return this.monitor.fetch(request);
    }
    async alarm() {
      const before = this.rows;
      await this.monitor.alarm();
      console.log(JSON.stringify({ event: 'rows_written', rows: this.rows - before }));
    }
  }`;

const options = workers.map(({ name, yaml, secrets, bindings }) => ({
  name,
  modules: [
    module('ESModule', 'counted.js', counted),
    module('ESModule', 'worker.js'),
    module('Text', 'services.yaml', yaml),
    module('ESModule', 'crates/worker/js/index.js'),
    module('ESModule', 'crates/worker/build/index.js', readFileSync(join(directory, 'index.js'))),
    module('CompiledWasm', 'crates/worker/build/index_bg.wasm', readFileSync(join(directory, 'index_bg.wasm'))),
  ],
  modulesRoot: ROOT,
  compatibilityDate: '2026-04-24',
  bindings: secrets,
  kvNamespaces: bindings.includes('kv') ? { HEALTH: 'health' } : {},
  durableObjects: objects(bindings),
  unsafeDirectSockets: [{ host: '127.0.0.1', port: 0 }],
}));

// Returns the object of these bindings.
function objects(bindings) {
  const monitor = { className: 'Monitor', useSQLite: true, scriptName: owner };
  if (bindings.includes('object')) return { MONITOR: monitor };
  if (bindings.includes('counted object')) return { MONITOR: { ...monitor, className: 'Counted' } };
  if (bindings.includes('hung object')) return { MONITOR: { className: 'Hung', scriptName: 'hung' } };
  return {};
}

// An object that never responds.
const hung = {
  name: 'hung',
  modules: true,
  script: `
    export class Hung { fetch() { return new Promise((resolve) => setTimeout(resolve, 1e9)); } }
    export default { fetch: () => new Response() };`,
  durableObjects: { HUNG: 'Hung' },
};

const miniflare = new Miniflare({
  workers: [...options, hung],
  durableObjectsPersist: join(persist, 'objects'),
  kvPersist: join(persist, 'kv'),
  cachePersist: false,
  unsafeTriggerHandlers: true,
  unsafeDevRegistryPath: registry,
  cf: false,
  log: new Log(LogLevel.ERROR),
  handleRuntimeStdio(stdout, stderr) {
    for (const output of [stdout, stderr]) createInterface({ input: output }).on('line', (line) => console.log(line));
  },
});
const entry = await miniflare.ready;
const urls = { entry: entry.href };
for (const { name } of workers) urls[name] = (await miniflare.unsafeGetDirectURL(name)).href;
console.log(JSON.stringify(urls));

for await (const line of createInterface({ input: process.stdin })) {
  // A command: the name of a worker whose cron trigger fires.
  const worker = await miniflare.getWorker(line);
  console.log(JSON.stringify({ scheduled: await worker.scheduled({ cron: '* * * * *' }) }));
}
await miniflare.dispose();

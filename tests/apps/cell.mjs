// One cell of the table: an application is used through a host while a fault strikes its primary.

import { mkdirSync } from 'node:fs';
import { startHost } from './hosts.mjs';
import { Injector } from './injector.mjs';

/** The time limit of a step in milliseconds. It is longer than any timeout of a host. */
const STEP_TIMEOUT = 130_000;
/** The number of times that a step is repeated. */
const MAX_REPEATS = 4;
/** The number of times that all steps are used after the fault. */
const ROUNDS = 2;

/**
 * Returns the steps since the fault, in order: `{ name, kind, isStruck, repeats, wait, error }`. The
 * fault strikes during the first request with the method `struck`, or during the first one.
 */
export async function runCell({ app, running, host, fault, struck, programs, directory }) {
  mkdirSync(directory, { recursive: true });
  const injectors = [];
  for (const port of running.ports) {
    injectors.push(await Injector.start({ port, health: app.health, tls: running.tls }));
  }
  const ports = injectors.map(({ port }) => port);
  const { server, service } = app;
  const options = { host, programs, ports, server, service, tls: running.tls, directory };
  const { program, url } = await startHost(options);
  const client = await running.client({ url, host, directory });
  try {
    for (const step of client.steps) {
      const { repeats, error } = await perform(step);
      if (repeats > 0) throw new Error(`${step.name} fails without a fault: ${error}`);
    }
    let isDown = false;
    injectors[0].arm(fault, struck).then(() => { isDown = true; });
    const results = [];
    for (let round = 0; round < ROUNDS; round += 1) {
      for (const step of client.steps) {
        const wasDown = isDown;
        const result = await perform(step);
        if (isDown) results.push({ ...result, isStruck: !wasDown });
      }
    }
    if (!isDown) throw new Error('no request reached the primary');
    return results;
  } finally {
    await client.close?.();
    await program.end();
    for (const injector of injectors) injector.close();
  }
}

/** Performs a step, and repeats it until it succeeds. `wait` is the longest time of one attempt. */
async function perform({ name, kind, run }) {
  let [repeats, wait, error] = [0, 0, undefined];
  for (;;) {
    const start = performance.now();
    const failure = await limited(run()).then(() => undefined, (failure) => failure ?? new Error('failed'));
    wait = Math.max(wait, performance.now() - start);
    if (!failure) return { name, kind, repeats, wait, error };
    error ??= String(failure.message ?? failure).trim().split('\n').at(-1);
    if (repeats === MAX_REPEATS) return { name, kind, repeats: Infinity, wait, error };
    repeats += 1;
  }
}

function limited(promise) {
  let timer;
  const limit = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error('no result')), STEP_TIMEOUT);
  });
  return Promise.race([promise, limit]).finally(() => clearTimeout(timer));
}

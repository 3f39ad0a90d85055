// The entry points of the Worker.
//
// A plain object, because the runtime calls its methods without making an instance for each
// request. A panic of wasm leaves its memory in an unknown state, so the next event gets a new
// instance.

import * as wasm from './index.js';

let isBroken = false;
// Counts the instances, so that objects of an earlier one are noticed.
let generation = 0;

connect();
addEventListener('error', (event) => observe(event.error));

/** Passes the functions that get results. The object is new for each instance. */
function connect() {
  const guarded = (call) => (...args) => guard(() => call(...args));
  wasm.connect({
    complete: guarded(wasm.complete),
    receive: guarded(wasm.receive),
    fail: guarded(wasm.fail),
    fire: guarded(wasm.fire),
    runTasks: guarded(wasm.run_tasks),
  });
}

/** Calls a function of wasm. */
function guard(call) {
  try {
    return call();
  } catch (error) {
    observe(error);
    throw error;
  }
}

function observe(error) {
  if (error instanceof WebAssembly.RuntimeError) {
    console.error('Critical', error);
    isBroken = true;
  }
}

/** Calls a function of wasm for an event. */
function enter(call) {
  if (isBroken) {
    console.log('Reinitializing Wasm application');
    wasm.__wbg_reset_state();
    isBroken = false;
    generation += 1;
    connect();
  }
  return guard(call);
}

/** Reads the configuration and rehearses a request when the Worker is loaded. */
export function prepare(env) {
  enter(() => wasm.prepare(env));
  let isRehearsed = false;
  try {
    isRehearsed = guard(() => wasm.rehearse(env, { waitUntil() {} }));
  } catch {
    // Requests do not need it.
  }
  if (!isRehearsed) console.warn('the rehearsal of a request failed, so the first request takes longer');
}

export default {
  fetch(request, env, context) {
    return new Promise((respond) => enter(() => wasm.handle(request, env, context, respond)));
  },
  scheduled(event, env) {
    return new Promise((done) => enter(() => wasm.scheduled(env, done)));
  },
};

/** The Durable Object. Its state is in storage, so it can be made anew. */
export class Monitor {
  #state;
  #env;
  #generation = -1;
  #object;

  constructor(state, env) {
    this.#state = state;
    this.#env = env;
  }

  fetch(request) {
    return new Promise((respond, reject) => enter(() => this.#current().fetch(request, respond, reject)));
  }

  alarm() {
    return new Promise((done) => enter(() => this.#current().alarm(done)));
  }

  #current() {
    if (this.#generation !== generation) {
      this.#object = new wasm.Monitor(this.#state, this.#env);
      this.#generation = generation;
    }
    return this.#object;
  }
}

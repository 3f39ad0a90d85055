// The Worker, and the function that gives it the text of services.yaml.

import { env } from 'cloudflare:workers';
import { prepare } from '../build/index.js';

export { default, Monitor } from '../build/index.js';

/**
 * Sets the services for all events of the isolate. The entry calls it when it is loaded, when CPU
 * time is not that of a request. The text is kept in JavaScript, because a panic replaces the memory
 * of the wasm instance.
 */
export function configure(services) {
  if (typeof services !== 'string') {
    throw new TypeError('expected the text of services.yaml: does wrangler.toml have the rule of type "Text"?');
  }
  globalThis.__tunnelBalancerServices = services;
  prepare(env);
}

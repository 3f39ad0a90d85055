// The Worker, and the function that gives it the text of services.yaml.

export { default, Monitor } from '../build/index.js';

/**
 * Sets the services for all events of the isolate. The entry calls it when it is loaded. The text is
 * kept in JavaScript, because a panic replaces the memory of the wasm instance.
 */
export function configure(services) {
  if (typeof services !== 'string') {
    throw new TypeError('expected the text of services.yaml: does wrangler.toml have the rule of type "Text"?');
  }
  globalThis.__tunnelBalancerServices = services;
}

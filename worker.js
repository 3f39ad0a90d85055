// The entry of the Worker: wrangler bundles it with services.yaml.
import services from './services.yaml';
import { configure } from './crates/worker/js/index.js';

configure(services);
export { default, Monitor } from './crates/worker/js/index.js';

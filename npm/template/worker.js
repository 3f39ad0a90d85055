// The entry of the Worker: wrangler bundles it with services.yaml.
import services from './services.yaml';
import { configure } from 'tunnel-balancer';

configure(services);
export { default, Monitor } from 'tunnel-balancer';

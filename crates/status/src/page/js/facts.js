// Facts of the full report in words: states, traffic, and what needs attention.

/** The shape and the words of each state of a server. */
const SERVER_STATES = {
  healthy: ['up', 'healthy'], unknown: ['unknown', 'not checked yet'], unhealthy: ['down', 'unhealthy'], ejected: ['down', 'ejected'],
  stalled: ['stalled', 'stalled'], probation: ['degraded', 'on probation'], awaiting_failback: ['up', 'healthy, waits for failback'],
};
const SHARING = { process: 'this process only', isolate: 'this isolate only', colo: 'shared in this data center', kv: 'shared by Workers KV', monitor: 'shared by a monitor' };
const STATES = ['down', 'degraded', 'maintenance', 'up'];

const isOut = (server) => server.enabled && ['unhealthy', 'ejected', 'stalled'].includes(server.state);

/** The shape of a server, and its state in words. */
function stateOf(server) {
  if (!server.enabled) return ['off', 'disabled'];
  const [shape, text] = SERVER_STATES[server.state] ?? ['unknown', words(server.state)];
  return server.drain && !isOut(server) ? ['maintenance', `${text}, draining`] : [shape, text];
}

/** When the state of a service began. Its details may know more: they have the history. */
const beginOf = (service) => service.since ?? app.details.get(service.service)?.data.since;
const counted = (report) => (report.counts_of === 'isolate' ? 'this isolate only' : 'this process');
const be = (n) => (n === 1 ? 'is' : 'are');
const inState = (state) => (state === 'maintenance' ? 'under maintenance' : state);
/** A state that lasts: `has been down for 4 min`, or `is down` if its beginning is unknown. */
const lasting = (state, at) => (at == null ? ` is ${state}` : [` has been ${state} `, since(at)]);

/** The state of all services in one sentence, with its shape. */
function headline(services) {
  const parts = STATES.slice(0, 3).map((state) => [state, services.filter((it) => it.state === state).length]).filter((part) => part[1]);
  if (!parts.length) return ['up', services.length === 1 ? 'The service is up' : `All ${services.length} services are up`];
  const texts = parts.map(([state, n], i) => `${n}${i ? '' : ` of ${plural(services.length, 'service')}`} ${be(n)} ${inState(state)}`);
  return [parts[0][0], list(texts)];
}

/** Where the numbers and the health of servers come from. */
function provenance({ balancer, sharing, history_since: from, ...report }) {
  const mode = sharing && (SHARING[sharing.mode] ?? `shared by ${words(sharing.mode)}`);
  return [
    `Counters: ${counted(report)}`,
    mode && `Health: ${mode}${sharing.age_ms == null ? '' : `, ${duration(sharing.age_ms)} old`}`,
    `History: ${from ? `since ${day(from)}, ${clock(from)}` : 'none'}`,
    `${sentence(balancer.host)} ${balancer.version}${balancer.started ? `, running for ${duration(now() - balancer.started)}` : ''}`,
  ].filter(Boolean);
}

/** What the servers that get traffic do: while none is available, they are tried. */
const doing = (service) => (service.state === 'down' ? 'tried' : 'serving');

/** Which servers get traffic. */
const serving = (service) => (service.maintenance ? 'the maintenance page' : service.serving.length ? list(service.serving) : 'no server');

/** The sentences about a service that is not up: what is out, what serves, and what was lost. */
function troubles(service, report) {
  const { requests: { failed, total }, serving_reason: reason } = service;
  const out = service.servers.filter(isOut).map((it) => h('p', h('b', it.server), lasting(stateOf(it)[1], it.since), cause(it) && `: ${cause(it)}`));
  const traffic = service.state === 'down' ? 'No server is available.' : `Served by ${serving(service)}${reason ? ` (${reason})` : ''}.`;
  const lost = failed ? `${count(failed)} of ${plural(total, 'request')} failed` : 'No request failed';
  return [out, h('p.muted', `${traffic} ${lost} (${counted(report)}).`)];
}

/** Whether a service matches the state filter and every word of the search. */
function matches(service, filter, query) {
  if (filter === 'problems' ? service.state === 'up' : filter !== 'all' && service.state !== filter) return false;
  const servers = () => service.servers.flatMap((it) => [it.server, stateOf(it)[1], cause(it)]);
  const text = query && [service.service, service.title, service.state, ...servers()].join(' ').toLowerCase();
  return query.toLowerCase().split(' ').every((word) => text.includes(word));
}

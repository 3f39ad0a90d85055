// An opened service: its servers, its uptime and its timeline.

const RANGES = { '24 h': DAY, '30 d': 30 * DAY };
const TRANSITIONS = 20;
/** The largest number of entries in a response. */
const MOST_HISTORY = 200;

function serviceDetails(it, report) {
  const more = app.details.get(it.service)?.data;
  const columns = ['Server', 'State', 'Last probe', 'Latency', 'Attempts', ...(report.control ? ['Change'] : [])];
  return h('div.details', { key: 'details' },
    h('p.muted', `Policy ${words(it.policy)}. ${plural(it.requests.held, 'request')} held. Counters: ${counted(report)}.`, it.forced && ` All requests are forced to ${it.forced}.`),
    report.control && serviceActions(it, report),
    h('table', { role: 'table', 'aria-label': `Servers of ${it.service}` },
      h('thead', { role: 'rowgroup' }, h('tr', { role: 'row' }, columns.map((label) => h('th', { role: 'columnheader', scope: 'col' }, label)))),
      h('tbody', { role: 'rowgroup' }, it.servers.map((server) => serverRow(server, it, report)))),
    more && h('section', { key: 'charts' }, h('h4', 'Uptime'), uptime(more.days, it.title), h('h4', 'Latency of 60 minutes'), sparkline(more.minutes, it.title)),
    more ? timeline(it, more.history, report) : h('p.muted', { key: 'loading' }, 'Loading history …'));
}

function serverRow(server, service, report) {
  const [icon, state] = stateOf(server);
  const { probe, latency_ms: ms, ejected_until: ejected } = server;
  const cell = (label, ...content) => h('td', { key: label, role: 'cell', 'data-label': label }, h('div', content));
  const counts = [[server.hedges, 'hedge'], [server.aborted_responses, 'aborted response'], [server.ejections, 'ejection'], [server.stalls, 'stall']];
  return h('tr', { key: server.server, role: 'row' },
    h('th', { role: 'rowheader', scope: 'row' }, server.server, h('ul.chips', tags(server, service).map((tag) => h('li', { key: tag, class: tag }, tag)))),
    cell('State', h('p', shape(icon), h('b', state), ' ', since(server.since)), isOut(server) && h('p.bad', cause(server)),
      ejected > now() && h('small', `ejected for another ${duration(ejected - now())}`)),
    cell('Last probe', probe?.at ? h('p', h(probe.passed ? 'span' : 'b.bad', probe.passed ? 'passed ' : 'failed '), ago(probe.at), probe.duration_ms != null && `, ${latency(probe.duration_ms)}`) : 'none',
      probe?.detail && h('p', probe.detail), probe?.next_at && h('small', `next in ${duration(probe.next_at - now())}`)),
    cell('Latency', ms ? `p50 ${latency(ms.p50)}, p99 ${latency(ms.p99)}` : 'no responses'),
    cell('Attempts', h('p', `${plural(server.attempts, 'attempt')}, `, failures(server.failed_attempts), `, ${count(server.in_flight)} in flight`),
      h('small', counts.filter(([n]) => n).map(([n, noun]) => plural(n, noun)).join(', ')),
      h('small', `${plural(server.probes, 'probe')}, ${count(server.failed_probes)} failed`)),
    report.control && cell('Change', serverActions(server, service, report)));
}

const tags = (server, service) => [
  server.serving && doing(service), server.skipped && `not used: ${words(server.skipped)}`, service.forced === server.server && 'forced',
  server.backup && 'backup', server.weight !== 1 && `weight ${server.weight}`,
].filter(Boolean);

function timeline(service, history, report) {
  const range = RANGES[app.range];
  const recent = history.filter((it) => now() - it.at < range);
  // A full list may end before the range does.
  const reach = Math.max(report.history_since ?? now(), history[MOST_HISTORY - 1]?.at ?? 0);
  const lanes = service.servers.map((server) => [h('span', server.server), lane(server, history.filter((it) => it.server === server.server), reach, range)]);
  return h('section', { key: 'timeline' },
    h('div.filters', h('h4', 'Timeline'), Object.keys(RANGES).map((name) => choice(name, { range: name }))),
    report.history_since ? h('div.lanes', lanes, h('span'), h('div.axis', h('span', `${app.range} ago`), reach > now() - range && h('span', `known since ${moment(reach)}`), h('span', 'now')))
      : h('p.muted', 'Without shared health or a state file, there is no history.'),
    h('ol', recent.slice(0, TRANSITIONS).map(transition)),
    h('p.muted', recent.length > TRANSITIONS ? `${recent.length - TRANSITIONS} more: tunnel-balancer ctl history ${service.service}` : report.history_since && !recent.length && `No transition in ${app.range}.`));
}

function transition(it) {
  const isControl = it.event.startsWith('control');
  const text = isControl ? `${it.detail}${it.event === 'control_expired' ? ' expired' : ''}` : words(it.event.replace('server_', ''));
  const more = [isControl ? it.comment : cause(it), it.origin && `by ${it.origin}`].filter(Boolean).join(', ');
  return h('li', { key: `${it.at} ${it.event} ${it.server}` }, shape(isControl ? 'maintenance' : STARTS[it.event] ? 'down' : 'up'),
    time(it.at, moment(it.at)), ' ', h('b', it.server ?? it.service), ` ${text}`, more && h('span.muted', `: ${more}`));
}

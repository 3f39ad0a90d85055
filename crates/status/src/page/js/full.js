// The page of operators.

const FILTERS = ['all', 'problems', ...STATES];
const LISTED = 8;

function fullView(report) {
  const { services, overrides } = report;
  const [state, text] = headline(services);
  const shown = services.filter((it) => matches(it, app.filter, app.query));
  return [
    h('div', { key: 'headline', class: `headline ${state}` }, shape(state), h('h1', text)),
    h('ul.facts', { key: 'facts' }, provenance(report).map((fact) => h('li', fact))),
    report.balancer.config_rejected && note('rejected', 'The newest configuration was rejected. The previous one stays in use; the log has the errors.'),
    report.sharing?.error && note('sharing', `Shared health or history cannot be read: ${report.sharing.error}`),
    attention(report),
    overrides.length > 0 && panel('Changes in force', h('ul.changes', overrides.map((it) => change(it, report)))),
    h('section', { key: 'services', 'aria-label': 'Services' }, h('h2.sr', 'Services'),
      toolbar(services),
      h('ul.services', shown.map((it) => serviceRow(it, report))),
      !shown.length && h('p.empty', 'No service matches.')),
  ];
}

const note = (key, text) => h('div.note', { key }, shape('degraded'), text);
const panel = (title, ...children) => h('section.panel', { key: title, 'aria-label': title }, h('h2', title), children);

function attention(report) {
  const rank = (it) => STATES.indexOf(it.state);
  const bad = report.services.filter((it) => it.state !== 'up').sort((a, b) => rank(a) - rank(b) || (b.since ?? 0) - (a.since ?? 0));
  const items = bad.slice(0, LISTED).map((it) => h('li', { key: it.service, class: it.state },
    h('h3', shape(it.state), link(it.title, () => show(it.service)), lasting(inState(it.state), beginOf(it))),
    it.state !== 'maintenance' && troubles(it, report)));
  return bad.length > 0 && panel('Needs attention', h('ul.attention', items),
    bad.length > LISTED && h('p', `${bad.length - LISTED} more: `, link('show all problems', () => paint({ filter: 'problems' }))));
}

function toolbar(services) {
  const label = 'Search services and servers';
  const search = (event) => paint({ query: event.target.value.trim() });
  return h('div.toolbar',
    h('input', { type: 'search', id: 'search', placeholder: `${label} ( / )`, 'aria-label': label, oninput: search }),
    h('div.filters', { role: 'group', 'aria-label': 'Filter by state' }, FILTERS.map((filter) => {
      const n = services.filter((it) => matches(it, filter, '')).length;
      return (n > 0 || filter === 'all' || filter === app.filter) && choice(sentence(filter), { filter }, h('span', ` ${n}`));
    })));
}

/** A button that sets one property of the page. */
function choice(label, change, more) {
  const [[name, value]] = Object.entries(change);
  return h('button', { key: label, type: 'button', 'aria-pressed': String(app[name] === value), onclick: () => paint(change) }, label, more);
}

function serviceRow(it, report) {
  const isOpen = app.open.has(it.service);
  const { requests } = it;
  const clicked = (event) => !event.target.closest('button') && getSelection().isCollapsed && toggle(it.service);
  return h('li', { key: it.service, class: `service ${it.state}` },
    h('div.row', { onclick: clicked },
      h('h3', button(it.title, () => toggle(it.service), { id: `of ${it.service}`, 'aria-expanded': String(isOpen) }), h('small', it.service)),
      h('p.state', shape(it.state), h('b', sentence(it.state)), ' ', since(beginOf(it))),
      h('ul.chips', { 'aria-label': 'Servers' }, it.servers.map((server) => {
        const [icon, state] = stateOf(server);
        return h('li', { key: server.server, class: server.serving && 'serving', title: state },
          shape(icon), server.server, h('span.sr', `, ${state}${server.serving ? `, ${doing(it)}` : ''}`));
      })),
      h('p', h('span.muted', it.state === 'down' ? 'Tries ' : 'Served by '), h('b', serving(it)), h('small', !it.maintenance && it.serving_reason)),
      h('p', `${plural(requests.total, 'request')}, `, failures(requests.failed),
        h('small', `${plural(requests.retries, 'retry')}, ${plural(requests.hedges, 'hedge')}, ${count(requests.in_flight)} in flight`))),
    isOpen && serviceDetails(it, report));
}

const failures = (n) => h(n ? 'b.bad' : 'span', `${count(n)} failed`);

const describe = (it) => `${words(it.action)}${it.weight == null ? '' : ` ${it.weight}`}${it.on == null ? '' : it.on ? ' on' : ' off'}`;

function change(it, report) {
  const { service, server, until } = it;
  return h('li', { key: `${service} ${server} ${it.action}` },
    h('span', h('b', server ? `${server} of ${service}` : service), `: ${describe(it)} `,
      until ? time(until, `until ${moment(until)}, ${duration(until - now())} left`) : 'until it is ended', it.comment && `: ${it.comment}`,
      h('small', `by ${it.origin}, `, ago(it.since), it.has_effect === false && '. Without effect: the configuration no longer has it')),
    report.control && button('End', () => confirmChange(ending(it, report), report), { 'aria-label': `End ${describe(it)} of ${server ?? service}` }));
}

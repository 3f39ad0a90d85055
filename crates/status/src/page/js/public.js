// The public page: titles, states, uptime and incidents, in words that need no knowledge of servers.

const PLAIN = { up: 'working', degraded: 'working with less reserve', down: 'unavailable', maintenance: 'under maintenance' };

function publicView({ services, incidents, history_since: from }) {
  const [state, text] = publicHeadline(services);
  const current = incidents.filter((it) => it.until == null);
  const past = incidents.filter((it) => it.until != null);
  return [
    h('div', { key: 'headline', class: `headline ${state}` }, shape(state), h('h1', text)),
    current.length > 0 && panel('Now', h('ul', current.map(incident))),
    h('ul.cards', { key: 'services', 'aria-label': 'Services' }, services.map((it) => h('li', { key: it.title, class: it.state },
      h('h2', it.title), h('p.state', shape(it.state), h('b', sentence(PLAIN[it.state]))), it.days?.length > 0 && uptime(it.days, it.title)))),
    panel('Past incidents', past.length ? h('ul', past.map(incident)) : h('p.muted', from ? `None since ${day(from)}.` : 'There is no history.')),
  ];
}

function publicHeadline(services) {
  for (const state of ['down', 'maintenance']) {
    const names = services.filter((it) => it.state === state).map((it) => it.title);
    const subject = names.length > 3 ? `${names.length} of ${services.length} services` : list(names);
    if (names.length) return [state, `${subject} ${be(names.length)} ${PLAIN[state]}`];
  }
  return [services.some((it) => it.state === 'degraded') ? 'degraded' : 'up', 'Everything works'];
}

function incident({ title, kind, from, until }) {
  const text = ` ${until == null ? 'has been' : 'was'} ${PLAIN[kind]} for ${plainDuration((until ?? now()) - from)}. `;
  return h('li', { key: `${title} ${from} ${kind}` }, shape(kind), h('b', title), text, h('span.muted', until == null && 'Since ', time(from, moment(from))));
}

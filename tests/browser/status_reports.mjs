// Reports in the format of `status.json`, for states that real hosts reach only with time: a month
// of history, hundreds of services, and every state of a server.

const SECOND = 1000, MINUTE = 60 * SECOND, HOUR = 60 * MINUTE, DAY = 24 * HOUR;

/** A report of every state. `now` is its time. */
export function fullReport(now, services = everyState(now)) {
  return {
    version: 1, kind: 'full', now,
    balancer: { host: 'worker', version: '0.1.0', started: now - 26 * HOUR, config_rejected: false },
    sharing: { mode: 'durable_object', age_ms: 3000 },
    counts_of: 'isolate', history_since: now - 21 * DAY, control: true,
    services,
    overrides: [
      { action: 'drain', service: 'git.example.com', server: 'git-b', since: now - 12 * MINUTE, until: now + 18 * MINUTE, remaining_ms: 18 * MINUTE, comment: 'new disk', origin: 'alice@laptop' },
      { action: 'maintenance', service: 'photos.example.com', on: true, since: now - 40 * MINUTE, comment: 'upgrade of the database', origin: 'status page' },
    ],
  };
}

/** The report of many services with three servers each. Every fortieth service is degraded. */
export function largeReport(now, size = 200) {
  const services = Array.from({ length: size }, (_, index) => {
    const name = `app-${String(index + 1).padStart(3, '0')}`;
    const isBad = index % 40 === 7;
    const servers = ['a', 'b', 'c'].map((letter, i) => server(`${name}-${letter}`, now, isBad && i === 0
      ? { state: 'unhealthy', since: now - 4 * MINUTE, reason: 'connect_failed', detail: 'connection refused', skipped: 'unhealthy' }
      : { serving: i === (isBad ? 1 : 0) }));
    return service(`${name}.example.com`, name, now, servers, isBad ? { state: 'degraded', since: now - 4 * MINUTE } : {});
  });
  return { ...fullReport(now, services), overrides: [] };
}

/** The public form of a report. */
export function publicReport(now) {
  const card = (title, state, bad, since) => ({ title, state, since, days: days(now, bad) });
  return {
    version: 1, kind: 'public', now, history_since: now - 21 * DAY,
    services: [
      card('Photos', 'maintenance', {}, now - 40 * MINUTE), card('Chat', 'degraded', { 3: 0.9965 }, now - 4 * MINUTE),
      card('Films', 'up', {}, now - 9 * DAY), card('Recipes', 'down', { 0: 0.99, 8: 0.62 }, now - 11 * MINUTE),
    ],
    incidents: [
      { title: 'Recipes', kind: 'down', from: now - 11 * MINUTE },
      { title: 'Photos', kind: 'maintenance', from: now - 40 * MINUTE },
      { title: 'Chat', kind: 'degraded', from: now - 4 * MINUTE },
      { title: 'Films', kind: 'degraded', from: now - 2 * DAY, until: now - 2 * DAY + 300 },
      { title: 'Chat', kind: 'down', from: now - 3 * DAY, until: now - 3 * DAY + 5 * MINUTE },
      { title: 'Recipes', kind: 'down', from: now - 8 * DAY - 9 * HOUR, until: now - 8 * DAY },
    ],
  };
}

/** The report of one service with its details. */
export function detailed(report, name) {
  const { now } = report;
  const found = report.services.find((it) => it.service === name);
  const bad = found.state === 'up' ? {} : { 0: 0.9972, 12: 0.93 };
  const failed = found.servers.some((it) => it.failed_attempts);
  const more = { minutes: minutes(now, failed), history: history(now, found), days: days(now, bad), incidents: [] };
  return { ...report, services: [{ ...found, ...more }] };
}

function everyState(now) {
  const refused = { state: 'unhealthy', reason: 'connect_failed', detail: 'connection refused', skipped: 'unhealthy', failed_attempts: 3, failed_probes: 24 };
  return [
    service('chat.example.com', 'Chat', now, [
      server('chat-a', now, { ...refused, since: now - 4 * MINUTE, probe: failedProbe(now, 'connection refused') }),
      server('chat-b', now, { serving: true, since: now - 26 * HOUR }),
    ], { state: 'degraded', since: now - 4 * MINUTE, requests: requests(1840, 0, 3, 1) }),
    service('git.example.com', 'Git', now, [
      server('git-a', now, { serving: true }),
      server('git-b', now, { drain: true, skipped: 'draining' }),
      server('git-c', now, { backup: true, weight: 5, skipped: 'standby' }),
    ]),
    service('recipes.example.com', 'Recipes', now, [
      server('recipes-a', now, { ...refused, since: now - 11 * MINUTE, detail: 'status 530', reason: 'status', probe: failedProbe(now, 'status 530') }),
      server('recipes-b', now, { state: 'ejected', since: now - 40 * SECOND, ejected_until: now + 20 * SECOND, reason: 'timeout', detail: 'no response in 10 s', skipped: 'ejected', ejections: 2, failed_attempts: 7 }),
    ], { state: 'down', since: now - 40 * SECOND, serving: ['recipes-b'], serving_reason: 'last resort: no server is available', requests: requests(320, 12, 9, 2) }),
    service('photos.example.com', 'Photos', now, [server('photos-a', now, { serving: true })], { state: 'maintenance', maintenance: true, since: now - 40 * MINUTE }),
    service('films.example.com', 'Films', now, [
      server('films-a', now, { state: 'stalled', since: now - 20 * SECOND, reason: 'unresponsive', skipped: 'stalled', stalls: 1, in_flight: 4, hedges: 3 }),
      server('films-b', now, { state: 'awaiting_failback', since: now - 2 * MINUTE, skipped: 'awaiting_failback' }),
      server('films-c', now, { serving: true, state: 'probation', since: now - 2 * MINUTE }),
      server('films-d', now, { state: 'unknown', enabled: false, skipped: 'disabled', probe: undefined, latency_ms: undefined, since: undefined }),
    ], { state: 'degraded', since: now - 20 * SECOND, requests: requests(96, 0, 0, 3), policy: 'latency' }),
    service('wiki.example.com/docs', 'Wiki', now, [
      server('wiki-with-a-rather-long-name-of-a-tunnel-in-another-country', now, { serving: true }), server('wiki-b', now, { skipped: 'forced elsewhere' }),
    ], { forced: 'wiki-with-a-rather-long-name-of-a-tunnel-in-another-country', serving_reason: 'forced by an operator' }),
  ];
}

function service(name, title, now, servers, changes) {
  return {
    service: name, title, state: 'up', since: now - 26 * HOUR, policy: 'failover', maintenance: false, forced: null,
    serving: servers.filter((it) => it.serving).map((it) => it.server), serving_reason: 'first available server in the list',
    requests: requests(12, 0, 0, 0), servers, ...changes,
  };
}

function server(name, now, changes) {
  return {
    server: name, state: 'healthy', since: now - 26 * HOUR, serving: false, enabled: true, drain: false, weight: 1, backup: false,
    probe: { at: now - 3 * SECOND, passed: true, duration_ms: 14, next_at: now + 7 * SECOND },
    in_flight: 1, attempts: 1840, failed_attempts: 0, hedges: 0, aborted_responses: 0, probes: 960, failed_probes: 0, ejections: 0, stalls: 0,
    latency_ms: { p50: 18, p99: 140 }, ...changes,
  };
}

const requests = (total, failed, retries, hedges) => ({ total, failed, retries, hedges, held: 0, in_flight: 1 });
const failedProbe = (now, detail) => ({ at: now - 2 * SECOND, passed: false, detail, duration_ms: 3, next_at: now + 8 * SECOND });

function minutes(now, failed) {
  const first = Math.floor(now / MINUTE) * MINUTE - 59 * MINUTE;
  return Array.from({ length: 60 }, (_, i) => {
    const wave = Math.round(30 + 14 * Math.sin(i / 4) + 6 * Math.sin(i * 1.7));
    const isBad = failed && i > 54;
    return [first + i * MINUTE, wave, isBad ? 2 : 0, isBad ? 90 + wave : wave];
  });
}

function days(now, bad) {
  const today = Math.floor(now / DAY) * DAY;
  return Array.from({ length: 30 }, (_, i) => {
    const age = 29 - i;
    return { start: today - age * DAY, ...(age <= 21 && { up: bad[age] ?? 1 }) };
  });
}

function history(now, { service, servers }) {
  const entries = servers.filter((it) => ['unhealthy', 'ejected', 'stalled'].includes(it.state)).flatMap(({ server, state, since, reason, detail }) => [
    { at: since, event: `server_${state}`, service, server, reason, detail },
    { at: since - 6 * HOUR, event: 'server_healthy', service, server },
    { at: since - 6 * HOUR - 25 * MINUTE, event: 'server_unhealthy', service, server, reason: 'timeout', detail: 'no response in 5 s' },
    { at: since - 4 * DAY, event: 'server_restored', service, server },
    { at: since - 4 * DAY - 90 * MINUTE, event: 'server_ejected', service, server, reason: 'status', detail: 'status 502' },
  ]);
  const changes = servers.filter((it) => it.drain).map(({ server }) =>
    ({ at: now - 12 * MINUTE, event: 'control_changed', service, server, detail: 'drain', comment: 'new disk', origin: 'alice@laptop', until: now + 18 * MINUTE }));
  return [...entries, ...changes].sort((a, b) => b.at - a.at);
}

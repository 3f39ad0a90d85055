// The state of the page, its refresh, and its events.

const PREFIX = location.pathname.replace(/\/+$/, '');
const TOKEN = 'balancer-token';
const INTERVAL = 2 * SECOND, DETAILS_AGE = 15 * SECOND;
const app = { failures: 0, filter: 'all', query: '', range: '24 h', open: new Set(), details: new Map(), toasts: new Set() };
let timer, isLoading;

/** The time of the balancer, so that ages do not depend on the clock of this device. */
const now = () => app.report.now + performance.now() - app.receivedAt;
const tokenOf = () => sessionStorage.getItem(TOKEN);
/** Keeps a token, without characters that no header can have. */
const keep = (token) => sessionStorage.setItem(TOKEN, token.replace(/[^\x20-~]/g, '').trim());

function request(path, options) {
  const token = tokenOf();
  const headers = { ...options?.headers, ...(token && { authorization: `Bearer ${token}` }) };
  return fetch(PREFIX + path, { cache: 'no-store', redirect: 'error', signal: AbortSignal.timeout(10 * SECOND), ...options, headers });
}

/** Loads the report and the details of opened services, now and every two seconds: less often after errors, and not while hidden. */
async function refresh() {
  if (isLoading) return;
  isLoading = true;
  clearTimeout(timer);
  try {
    await load();
  } catch ({ message }) {
    Object.assign(app, { failures: Math.min(app.failures + 1, 4), error: message });
  }
  isLoading = false;
  if (!document.hidden && !app.signIn) timer = setTimeout(refresh, INTERVAL * 2 ** app.failures);
  paint();
}

async function load() {
  const response = await request('/status.json');
  if (response.status === 401 || response.status === 429) return rejected(response);
  if (!response.ok) throw new Error(`status ${response.status}`);
  const report = await response.json();
  if (report.version !== 1) throw new Error('the report has an unknown version: reload the page');
  const before = app.report;
  Object.assign(app, { report, receivedAt: performance.now(), error: null, failures: 0 });
  if (before?.kind === report.kind) announce(before, report);
  else app.open = new Set(report.services.slice(0, report.services.length > 4 ? 0 : 4).map((it) => it.service));
  paint();
  if (report.kind === 'full') await loadDetails(report);
}

function rejected(response) {
  const wrong = tokenOf() && 'The token is not valid.';
  sessionStorage.removeItem(TOKEN);
  const signIn = { error: response.status === 429 ? `Too many wrong tokens. Try again in ${response.headers.get('retry-after')} s.` : wrong };
  Object.assign(app, { report: null, error: null, failures: 0, signIn });
}

async function loadDetails(report) {
  for (const { service, since, servers } of report.services.filter((it) => app.open.has(it.service))) {
    const known = app.details.get(service);
    const version = JSON.stringify([since, servers.map((it) => [it.state, it.since])]);
    if (known?.version === version && performance.now() - known.at < DETAILS_AGE) continue;
    const response = await request(`/status.json?service=${encodeURIComponent(service)}`);
    if (response.ok) app.details.set(service, { version, at: performance.now(), data: (await response.json()).services[0] });
    paint();
  }
}

/** Announces changed states to screen readers, and nothing else. */
function announce(before, after) {
  const old = new Map(before.services.map((it) => [it.title, it.state]));
  const changed = after.services.filter((it) => old.has(it.title) && old.get(it.title) !== it.state);
  if (changed.length) $('#live').textContent = changed.slice(0, 5).map((it) => `${it.title}: ${it.state}`).join('. ');
}

/** Changes properties of the page, and shows it. */
function paint(change) {
  const { report, signIn, error } = Object.assign(app, change);
  const isPublic = report?.kind === 'public';
  const view = signIn ? signInView(signIn) : report ? (isPublic ? publicView : fullView)(report) : [h('p.empty', error ? 'There is no status yet.' : 'Loading …')];
  render($('header'), [
    h('b', report && !isPublic ? 'Tunnel Balancer' : 'Status'), h('span.muted', { id: 'age' }, age()),
    tokenOf() && button('Sign out', () => { sessionStorage.removeItem(TOKEN); paint({ report: null }); refresh(); }),
  ].filter(Boolean));
  const main = $('main');
  main.className = signIn ? 'narrow' : isPublic ? 'medium' : '';
  render(main, [error && note('error', `The balancer cannot be reached (${error}).${report ? ` This is the state of ${clock(report.now)}.` : ''}`), ...view].filter(Boolean));
  render($('footer'), [isPublic && !signIn && link('Sign in for details', () => paint({ signIn: {} })), h('p', 'Times are in the time zone of this device.')].filter(Boolean));
  if (report) document.title = (isPublic ? publicHeadline : headline)(report.services)[1];
}

function age() {
  const ms = performance.now() - app.receivedAt;
  return !app.report ? '' : ms < 5 * SECOND ? 'Live' : `${duration(ms)} old`;
}

function signInView({ error }) {
  const submitted = (event) => {
    event.preventDefault();
    keep(new FormData(event.target).get('token'));
    app.signIn = null;
    refresh();
  };
  return [h('form.panel', { key: 'sign in', onsubmit: submitted },
    h('h1', 'Status'),
    h('p', { id: 'about' }, 'Enter the status token or the control token. This tab keeps it until it is closed.'),
    h('label', 'Token', h('input', { name: 'token', type: 'password', required: true, autocomplete: 'current-password', 'aria-describedby': 'about' })),
    error && h('p.bad', { role: 'alert' }, error),
    h('div.actions', button('Without a token', () => { app.signIn = null; refresh(); }), h('button.primary', 'Show the status')))];
}

function toggle(name) {
  if (!app.open.delete(name)) app.open.add(name);
  paint();
  refresh();
}

/** Opens a service that a link names, and moves the focus to it. */
function show(name) {
  $('#search').value = '';
  app.open.add(name);
  paint({ filter: 'all', query: '' });
  refresh();
  const target = document.getElementById(`of ${name}`);
  target.closest('li').scrollIntoView();
  target.focus({ preventScroll: true });
}

document.addEventListener('keydown', (event) => {
  const field = $('#search');
  const isTyping = event.target.closest('input, select, dialog');
  if (event.key === '/' && field && !isTyping && !event.ctrlKey && !event.metaKey) {
    event.preventDefault();
    field.focus();
  } else if (event.key === 'Escape' && event.target === field) {
    field.value = '';
    paint({ query: '' });
  }
});
document.addEventListener('visibilitychange', () => (document.hidden ? clearTimeout(timer) : refresh()));
setInterval(() => { $('#age').textContent = age(); }, SECOND);

// A link can have the token in its fragment, which servers do not see.
const given = new URLSearchParams(location.hash.slice(1).replaceAll('+', '%2B')).get('token');
if (given) {
  keep(given);
  history.replaceState(null, '', location.pathname);
}
paint();
refresh();

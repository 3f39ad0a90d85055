// Changes by operators: a confirmation, the command, and the way back.

/** The label and the effect of each action. `true`: it can end by itself. */
const ACTIONS = {
  drain: ['Drain', 'It keeps the clients that affinity gave it, and gets no new ones. It is still probed.', true],
  disable: ['Disable', 'It gets neither requests nor probes. Its state is forgotten.', true],
  enable: ['Enable', 'It gets requests and probes again.'],
  force: ['Force', 'It gets all requests of the service, whatever the state of its health.', true],
  clear: ['End change', 'The rest stays as it is.'],
  failback: ['Fail back', 'Traffic returns to preferred servers at once. This cannot be undone.'],
  on: ['Start maintenance', 'Every request gets 503 with the maintenance page.', true],
  off: ['End maintenance', 'Requests go to servers again.'],
};
const DURATIONS = { 'until it is ended': '', '15 minutes': 15 * MINUTE, '1 hour': HOUR, '4 hours': 4 * HOUR, '1 day': DAY };
const KINDS = ['drain', 'disable', 'enable'];

const actionOf = ({ action, on }) => ACTIONS[action === 'maintenance' ? (on ? 'on' : 'off') : action];
const subjectOf = ({ server, service }) => (server ? `${server} of ${service}` : service);

function changeButton(command, report) {
  const [label] = actionOf(command);
  return button(label, () => confirmChange([command], report), { 'aria-label': `${label}: ${subjectOf(command)}` });
}

function serverActions({ server, enabled, drain }, { service, forced }, report) {
  const actions = [enabled && !drain ? 'drain' : 'enable', enabled && 'disable', enabled && forced !== server && 'force'].filter(Boolean);
  return h('div.actions', actions.map((action) => changeButton({ action, service, server }, report)));
}

function serviceActions({ service, servers, maintenance }, report) {
  return h('div.actions', changeButton({ action: 'maintenance', service, on: !maintenance }, report),
    servers.some((it) => it.state === 'awaiting_failback') && changeButton({ action: 'failback', service }, report));
}

/** The command that makes a change again, for the rest of its time. */
const again = ({ action, service, server, weight, on, until, comment }) =>
  ({ action, service, server, weight, on, comment, duration_ms: until && Math.max(SECOND, Math.round(until - now())) });

/** The commands that end one change, and keep the others of its server. */
function ending({ action, service, server, on }, { overrides }) {
  if (action === 'maintenance') return [{ action, service, on: !on }];
  return [{ action: 'clear', service, server }, ...overrides.filter((it) => it.service === service && it.server === server && it.action !== action).map(again)];
}

/** The commands that undo a command, from the report before it. */
function inverse(command, { services, overrides }) {
  const { action, service, server } = command;
  const known = services.find((it) => it.service === service);
  const mine = overrides.filter((it) => it.service === service);
  const old = mine.find((it) => (KINDS.includes(action) ? KINDS.includes(it.action) && it.server === server : it.action === action));
  const changes = mine.filter((it) => it.server === server).map(again);
  if (action === 'failback') return [];
  if (action === 'clear') return changes;
  if (old) return [again(old)];
  if (action === 'force') return [{ action: 'clear', service, server }, ...changes];
  if (action === 'maintenance') return [{ action, service, on: known.maintenance }];
  const { enabled, drain } = known.servers.find((it) => it.server === server);
  return [{ action: enabled ? (drain ? 'drain' : 'enable') : 'disable', service, server }];
}

/** Sends commands after a confirmation. The first one is the one that is confirmed. */
function confirmChange([first, ...rest], report) {
  const [label, text, isTimed] = actionOf(first);
  const title = `${label}: ${subjectOf(first)}`;
  const dialog = $('dialog');
  const confirmed = (event) => {
    event.preventDefault();
    const fields = new FormData(event.target);
    const command = { ...first, duration_ms: Number(fields.get('duration')) || undefined, comment: fields.get('comment').trim() || undefined };
    dialog.close();
    run([command, ...rest], title, inverse(first, report));
  };
  render(dialog, [h('form', { key: performance.now(), onsubmit: confirmed },
    h('h2', { id: 'question' }, `${title}?`), h('p', text),
    isTimed && h('label', 'How long', h('select', { name: 'duration' }, Object.entries(DURATIONS).map(([name, value]) => h('option', { value }, name)))),
    h('label', 'Comment for the history', h('input', { name: 'comment', maxlength: 200, autocomplete: 'off' })),
    h('div.actions', button('Cancel', () => dialog.close()), h('button.primary', label)))]);
  dialog.showModal();
}

/** Sends commands in order, up to the first error. */
async function run(commands, title, undo) {
  for (const command of commands) {
    const error = await send(command);
    if (error) return toast({ text: `Not done: ${title}. ${error}`, undo: [], isError: true });
  }
  toast({ text: `Done: ${title}`, undo });
  for (const details of app.details.values()) details.version = null;
  refresh();
}

async function send(command) {
  try {
    const body = JSON.stringify({ ...command, origin: 'status page' });
    const response = await request('/control', { method: 'POST', headers: { 'content-type': 'application/json' }, body });
    const { error, message = `Status ${response.status}`, hint } = await response.json();
    return error && [message, hint].filter(Boolean).map((text) => `${sentence(text)}.`).join(' ');
  } catch (error) {
    return `${error.message}.`;
  }
}

/** Shows a result for 10 s, and an error until it is closed. */
function toast(it) {
  it.close = () => {
    app.toasts.delete(it);
    paintToasts();
  };
  app.toasts.add(it);
  if (!it.isError) setTimeout(it.close, 10 * SECOND);
  paintToasts();
}

function paintToasts() {
  render($('#toasts'), [...app.toasts].map((it) => h(`div.toast.${it.isError ? 'error' : 'done'}`, { key: it, role: it.isError ? 'alert' : 'status' }, h('span', it.text),
    it.undo.length > 0 && button('Undo', () => { it.close(); run(it.undo, `undo of ${it.text.slice(6)}`, []); }), button('Close', it.close))));
}

// Charts as inline SVG, each with a text alternative. Shapes differ by size or place, too, so that
// no chart depends on color.

const chart = (name, width, height, label, ...children) =>
  h(`svg.${name}`, { viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: 'none', role: 'img', 'aria-label': label }, children);
const rect = (name, x, y, width, height, title) => h(`rect.${name}`, { x, y, width, height }, title && h('title', title));
const sum = (items, value) => items.reduce((total, item) => total + value(item), 0);

/** The mean latency of each of 60 minutes as a line, with a mark for minutes that had failures. */
function sparkline(minutes, name) {
  const first = now() - HOUR;
  const points = minutes.filter(([start, attempts]) => start >= first && attempts);
  const means = points.map((point) => point[3] ?? 0);
  const top = Math.max(...means, 1);
  const x = (start) => Math.round((start - first) / MINUTE) * 2;
  const path = points.map(([start], i) => {
    const isJoined = i && start - points[i - 1][0] < 3 * MINUTE;
    return `${isJoined ? 'L' : 'M'}${x(start)} ${(25 - (means[i] / top) * 24).toFixed(1)}${isJoined ? '' : 'h1'}`;
  });
  const range = points.length ? `${latency(Math.min(...means))} to ${latency(top)}, ` : '';
  const summary = `${range}${count(sum(points, (it) => it[2]))} of ${plural(sum(points, (it) => it[1]), 'attempt')} failed`;
  return h('figure', chart('spark', 120, 31, `Mean latency of ${name} in the last 60 minutes: ${summary}`, h('path', { d: path.join('') }),
    points.filter((it) => it[2]).map(([start]) => rect('down', x(start) - 1, 27, 2, 4))),
  h('figcaption', h('b', summary)));
}

/** The uptime of each day as a bar. The part from the bottom is the time without an available server. */
function uptime(days, name) {
  const known = days.filter((it) => it.up != null);
  const [worst] = [...known].sort((a, b) => a.up - b.up);
  const summary = worst ? `${percent(sum(known, (it) => it.up) / known.length)} in ${plural(known.length, 'day')}` : 'no history yet';
  const bars = days.map((it, i) => {
    const title = `${day(it.start)}: ${it.up == null ? 'unknown' : percent(it.up)}`;
    if (it.up == null) return rect('unknown', 10 * i + 1, 25, 8, 5, title);
    const out = it.up < 1 ? Math.max(5, (1 - it.up) * 30) : 0;
    return [rect('up', 10 * i + 1, 0, 8, 30 - out, title), out > 0 && rect('down', 10 * i + 1, 31 - out, 8, out, title)];
  });
  const label = `Uptime of ${name}: ${summary}${worst?.up < 1 ? `; lowest on ${day(worst.start)}: ${percent(worst.up)}` : ''}`;
  return h('figure', chart('bars', 10 * days.length, 31, label, bars),
    h('figcaption', h('span', `${days.length} d ago`), h('b', summary), h('span', 'today')));
}

const STARTS = { server_unhealthy: 'health', server_ejected: 'ejection', server_stalled: 'stall' };
const ENDS = { server_healthy: 'health', server_unchecked: 'health', server_restored: 'ejection', server_stall_ended: 'stall' };

/** The intervals `[from, until, state]` of a server since a time, from its history (newest first) and its state. At first it is available. */
function intervals(entries, state, from) {
  const events = entries.filter((it) => STARTS[it.event] ?? ENDS[it.event]).reverse();
  const causes = new Set();
  const result = [];
  for (const { at, event } of events) {
    if (at > from) result.push([from, at, causes.size ? 'out' : 'in']);
    from = Math.max(from, at);
    if (STARTS[event]) causes.add(STARTS[event]);
    else causes.delete(ENDS[event]);
  }
  return [...result, [from, now(), state]];
}

/** The states of one server over a range of time, and the changes of operators as marks. */
function lane(server, entries, from, range) {
  const start = now() - range;
  const x = (at) => ((at - start) / range) * 1000;
  const parts = intervals(entries, isOut(server) ? 'out' : 'in', Math.max(from, start)).filter(([from, until]) => from < until);
  const out = parts.filter((part) => part[2] === 'out');
  const total = duration(sum(out, ([from, until]) => until - from));
  const label = `${server.server}: ${out.length ? `out ${plural(out.length, 'time')}, ${total} in total` : 'never out'}`;
  const marks = entries.filter((it) => it.event.startsWith('control') && it.at > start);
  return chart('lane', 1000, 20, label, parts.map(([from, until, state]) => {
    const title = `${state === 'out' ? 'Out' : 'Available'}, ${absolute(from)} to ${absolute(until)}`;
    return rect(state, Math.min(x(from), 997), state === 'out' ? 0 : 7, Math.max(x(until) - x(from), 3), state === 'out' ? 20 : 6, title);
  }), marks.map((it) => rect('mark', x(it.at) - 1.5, 0, 3, 20, `${absolute(it.at)}: ${it.detail}`)));
}

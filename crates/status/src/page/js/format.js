// Numbers, times and codes in words.

const SECOND = 1000, MINUTE = 60 * SECOND, HOUR = 60 * MINUTE, DAY = 24 * HOUR;
const UNITS = [['d', 'day', DAY], ['h', 'hour', HOUR], ['min', 'minute', MINUTE], ['s', 'second', SECOND]];

const compact = new Intl.NumberFormat('en', { notation: 'compact', maximumFractionDigits: 1 });
const count = (n) => compact.format(n ?? 0);
const plural = (n, noun) => `${count(n)} ${n === 1 ? noun : noun.endsWith('y') && !noun.endsWith('ay') ? `${noun.slice(0, -1)}ies` : `${noun}s`}`;
const words = (code) => String(code ?? '').replaceAll('_', ' ');
const lists = new Intl.ListFormat('en');
const list = (items) => lists.format(items);
const sentence = (text) => text[0].toUpperCase() + text.slice(1);

/** A duration with one or two units, such as `4 min` or `3 h 20 min`. */
function duration(ms) {
  const i = UNITS.findIndex((unit) => ms >= unit[2]);
  if (i < 0) return '0 s';
  const [[name, , size], next] = [UNITS[i], UNITS[i + 1]];
  const rest = size > MINUTE && ms < 10 * size ? Math.floor((ms % size) / next[2]) : 0;
  return `${Math.floor(ms / size)} ${name}${rest ? ` ${rest} ${next[0]}` : ''}`;
}

/** A duration in full words, such as `5 minutes`. */
function plainDuration(ms) {
  if (ms < MINUTE) return 'less than a minute';
  const [, noun, size] = UNITS.find((unit) => ms >= 1.5 * unit[2] || unit[2] === MINUTE);
  return plural(Math.round(ms / size), noun);
}

const latency = (ms) => (ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`);

/** A share as a percentage, rounded down: only a whole share is 100 %. */
const percent = (share) => `${share >= 1 ? 100 : (Math.floor(share * 1e5) / 1e3).toFixed(share >= 0.999 ? 3 : 2)} %`;

const formatter = (options) => { const format = new Intl.DateTimeFormat('en-GB', options); return (at) => format.format(at); };
const absolute = formatter({ dateStyle: 'medium', timeStyle: 'medium' });
const clock = formatter({ timeStyle: 'short' });
const day = formatter({ day: 'numeric', month: 'long' });
const moment = (at) => (now() - at < 20 * HOUR ? clock(at) : `${day(at)}, ${clock(at)}`);

/** A time in words, with the absolute time as its title. */
const time = (at, text) => h('time', { datetime: new Date(at).toISOString(), title: absolute(at) }, text);
const since = (at) => at != null && time(at, `for ${duration(now() - at)}`);
const ago = (at) => time(at, `${duration(now() - at)} ago`);

/** Why a server is out. */
const cause = (it) => it.detail || words(it.reason);

// The table of results, and the bounds that they have to hold.

/** The longest wait of a step after the first one, in milliseconds. */
const LONGEST_WAIT = 15_000;

/** Returns the bounds that a cell does not hold, as sentences. */
export function violations(results) {
  const found = [];
  results.forEach(({ name, kind, isStruck, repeats, wait, error }) => {
    const limit = isStruck && kind !== 'safe' ? 1 : 0;
    if (repeats > limit) found.push(`${name} (${kind}) was repeated ${repeats} times: ${error}`);
    if (!isStruck && wait > LONGEST_WAIT) found.push(`${name} took ${seconds(wait)}`);
  });
  return found;
}

/** Returns one row of the Markdown table. */
export function row({ app, host, fault, struck = 'any', results, failure }) {
  const cell = `| ${app} | ${host} | ${fault} | ${struck}`;
  if (failure) return `${cell} | ${failure} | | |`;
  const repeated = results.filter(({ repeats }) => repeats > 0);
  const again = repeated.map(({ name, repeats }) => (repeats === 1 ? name : `${name} (${repeats} times)`));
  const later = Math.max(0, ...results.slice(1).map(({ wait }) => wait));
  const waits = [results[0].wait, later].map(seconds).join(' | ');
  return `${cell} | ${again.join(', ') || 'nothing'} | ${waits} |`;
}

export const HEADER = `| application | host | fault | during | to do again | first wait | longest later wait |
|---|---|---|---|---|---|---|`;

const seconds = (milliseconds) => `${(milliseconds / 1000).toFixed(1)} s`;

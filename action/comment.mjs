// Writes the differences into one comment on the pull request, which later runs update.

import { readFileSync } from 'node:fs';

import { input, warn } from './lib.mjs';
import { FILE, NO_DIFFERENCE } from './markdown.mjs';

/** The author of comments with the token of a job. */
const AUTHOR = 'github-actions[bot]';

/** The longest body of a comment, in characters. */
const MAX_BODY = 65_536;

// Several folders and environments have a comment each.
const marker = `<!-- tunnel-balancer ${JSON.stringify([input('WORKING_DIRECTORY'), input('ENVIRONMENT')])} -->`;
const comments = `/repos/${process.env.GITHUB_REPOSITORY}/issues/${Number(input('NUMBER'))}/comments`;

try {
  const markdown = readFileSync(FILE, 'utf8');
  const body = limited(`${marker}\n${markdown}`);
  const existing = await findComment();
  if (existing === undefined) {
    if (markdown !== NO_DIFFERENCE) await call('POST', comments, { body });
  } else if (existing.body !== body) {
    await call('PATCH', `/repos/${process.env.GITHUB_REPOSITORY}/issues/comments/${existing.id}`, { body });
  }
} catch (error) {
  // The token of a pull request from a fork may not write. The summary of the job has the text.
  warn(`cannot comment on the pull request: ${error.message}`);
}

async function findComment() {
  for (let page = 1; ; page += 1) {
    const found = await call('GET', `${comments}?per_page=100&page=${page}`);
    const own = found.find(({ body, user }) => user?.login === AUTHOR && body?.startsWith(marker));
    if (own !== undefined || found.length < 100) return own;
  }
}

function limited(body) {
  const end = '\n\nCut off: the summary of the job has the rest.\n';
  return body.length > MAX_BODY ? body.slice(0, MAX_BODY - end.length) + end : body;
}

async function call(method, path, body) {
  // The error of `fetch` would show the token.
  if (!/^[\x21-\x7e]+$/.test(input('TOKEN'))) throw new Error('expected a token in the input `github-token`');
  const response = await fetch(`${process.env.GITHUB_API_URL}${path}`, {
    method,
    headers: {
      accept: 'application/vnd.github+json',
      authorization: `Bearer ${input('TOKEN')}`,
      'user-agent': 'tunnel-balancer',
      'x-github-api-version': '2022-11-28',
    },
    body: body && JSON.stringify(body),
  });
  if (!response.ok) throw new Error(`${method} ${path.split('?')[0]}: status ${response.status}`);
  return response.json();
}

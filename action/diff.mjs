// Writes the differences between the maps of the base branch and those of the pull request, as
// Markdown: into the summary of the job, and into a file for the comment.

import { appendFileSync, existsSync, writeFileSync } from 'node:fs';

import { PROGRAM, capture, fail, fileAt, input, maps, warn } from './lib.mjs';
import { FILE, NO_DIFFERENCE } from './markdown.mjs';

/** The exit code of `diff` for errors in a map. */
const ERROR = 2;

const base = process.env.GITHUB_BASE_REF;
const fetched = capture('git', ['fetch', '--no-tags', '--depth=1', 'origin', `refs/heads/${base}`]);
if (fetched.status !== 0) fail(`cannot fetch ${base}: ${fetched.stderr.trim()}`);

const sections = maps().map((file) => [file, difference(file)]).filter(([, text]) => text !== NO_DIFFERENCE);
const markdown = sections.map(([file, text]) => `## \`${file}\`\n\n${text}`).join('\n') || NO_DIFFERENCE;
writeFileSync(FILE, markdown);
appendFileSync(process.env.GITHUB_STEP_SUMMARY, markdown);

function difference(file) {
  const old = fileAt('FETCH_HEAD', file);
  if (!existsSync(file)) return old === undefined ? NO_DIFFERENCE : 'The file was removed.\n';
  if (old === undefined) return 'A new file.\n';
  const options = ['--format=markdown', `--for=${input('PROGRAM')}`];
  const { status, stdout, stderr } = capture(PROGRAM, ['diff', ...options, '--', '-', file], { input: old });
  if (status < ERROR) return stdout;
  warn(`cannot compare ${file} with ${base}: ${stderr}`);
  return 'Not compared: one of the versions has errors.\n';
}

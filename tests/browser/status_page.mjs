// The status page in Chromium: what it shows, and what must not happen on it.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { TIMEOUT } from '../node/processes.mjs';

const { resolve } = createRequire(import.meta.url);

/** A page with its errors. `close` fails if there was one. */
export class StatusPage {
  /** Console errors, exceptions, violations of the policy, and requests to another origin. */
  problems = [];
  /** Console errors of these patterns are expected: the browser reports each failed request. */
  expected = [];

  /** Opens `url` with options of a browser context, such as `{ colorScheme: 'dark' }`. */
  static async open(browser, url, { width = 1280, height = 900, ...options } = {}) {
    const context = await browser.newContext({ viewport: { width, height }, timezoneId: 'Europe/Berlin', ...options });
    const page = await context.newPage();
    page.setDefaultTimeout(TIMEOUT);
    const status = new StatusPage(context, page);
    const { origin } = new URL(url);
    page.on('pageerror', (error) => status.problems.push(`exception: ${error.stack}`));
    page.on('console', (message) => message.type() === 'error' && status.problems.push(`console: ${message.text()}`));
    page.on('request', (request) => {
      if (!request.url().startsWith(origin) && !request.url().startsWith('data:')) status.problems.push(`request to ${request.url()}`);
    });
    await page.goto(url);
    return status;
  }

  constructor(context, page) {
    this.context = context;
    this.page = page;
  }

  async close() {
    await this.context.close();
    const isExpected = (problem) => this.expected.some((pattern) => pattern.test(problem));
    assert.deepEqual(this.problems.filter((problem) => !isExpected(problem)), []);
  }

  /** Waits until the page, or the part that a selector names, contains a string. */
  shows(text, selector = 'body') {
    return this.page.locator(selector).filter({ hasText: text }).first().waitFor();
  }

  /** The text of the part that a selector names, with single spaces. */
  async text(selector = 'main') {
    return (await this.page.locator(selector).first().innerText()).replace(/\s+/g, ' ');
  }

  /** The row of a service with its details. */
  service(title) {
    return this.page.locator('.service').filter({ has: this.page.getByRole('button', { name: title, exact: true }) });
  }

  /** Opens the details of a service, and waits for its history. */
  async expand(title) {
    await this.page.getByRole('button', { name: title, exact: true }).and(this.page.locator('[aria-expanded]')).click();
    await this.service(title).getByRole('heading', { name: 'Timeline' }).waitFor();
  }

  /** Buttons with a name, or with one that a pattern matches. */
  button(name) {
    return this.page.getByRole('button', { name, exact: true });
  }

  /** Fails if axe finds a violation. */
  async accessible(what) {
    await this.page.evaluate(readFileSync(resolve('axe-core/axe.min.js'), 'utf8'));
    const { violations } = await this.page.evaluate(() => window.axe.run(document, { resultTypes: ['violations'] }));
    const found = violations.flatMap(({ id, nodes }) => nodes.map((node) => `${id}: ${node.html} ${node.failureSummary}`));
    assert.deepEqual(found, [], `axe: ${what}`);
  }

  /** Fails if the page is wider than the window. */
  async fits(what) {
    const [content, window] = await this.page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
    assert.ok(content <= window, `${what}: ${content} px of content in ${window} px`);
  }
}

/** Waits until `check` returns a value. */
export async function until(what, check, limit = TIMEOUT) {
  const end = performance.now() + limit;
  for (;;) {
    const value = await check();
    if (value) return value;
    if (performance.now() > end) throw new Error(`timed out after ${limit} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

// The page with scripted reports: what it shows, access, live refresh, and control.

import assert from 'node:assert/strict';
import { StatusPage, until } from './status_page.mjs';
import { fullReport, largeReport, publicReport } from './status_reports.mjs';

const UNAUTHORIZED = /status of 401/;
const WIDTHS = [320, 360, 768, 1024, 1280, 1600];

/** All cases by name. Each gets a browser and a new fixture. */
export const cases = {
  async 'the page shows states, traffic, losses and their sources'(browser, fixture) {
    fixture.report = fullReport;
    const status = await StatusPage.open(browser, fixture.url);
    await status.shows('1 of 6 services is down, 2 are degraded, and 1 is under maintenance', 'h1');
    const attention = await status.text('[aria-label="Needs attention"]');
    for (const text of [
      'Recipes has been down for 40 s', 'recipes-a has been unhealthy for 11 min: status 530', 'recipes-b has been ejected for 40 s: no response in 10 s',
      'No server is available. 12 of 320 requests failed (this isolate only).',
      'chat-a has been unhealthy for 4 min: connection refused', 'Served by chat-b (first available server in the list). No request failed',
    ]) assert.ok(attention.includes(text), `${text} in: ${attention}`);
    assert.match(await status.text('.facts'), /Counters: this isolate only Health: shared by durable object, 3 s old History: since .* Worker 0.1.0, running for 1 d 2 h/);
    assert.match(await status.text('[aria-label="Changes in force"]'), /git-b of git.example.com: drain until .*, 17 min left: new disk by alice@laptop/);
    assert.match(await status.text('.service.down'), /Tries recipes-b/);
    await status.expand('Chat');
    const details = await status.text('.details');
    for (const text of [
      'not used: unhealthy', 'failed 2 s ago, 3 ms', 'next in 7 s', 'p50 18 ms, p99 140 ms', '1.8K attempts, 3 failed, 1 in flight', '960 probes, 24 failed',
      '99.67 % in 22 days', 'chat-a unhealthy: connection refused',
    ]) assert.ok(details.includes(text), `${text} in: ${details}`);
    const charts = await status.page.locator('.details [role=img]').evaluateAll((nodes) => nodes.map((node) => node.getAttribute('aria-label')));
    assert.match(charts.join('\n'), /^Mean latency of Chat in the last 60 minutes: 1\d ms to \d+ ms, 10 of .* attempts failed$/m);
    assert.match(charts.join('\n'), /^Uptime of Chat: 99.67 % in 22 days; lowest on .*: 93.00 %$/m);
    assert.match(charts.join('\n'), /^chat-a: out 2 times, 2[89] min in total$/m);
    assert.match(charts.join('\n'), /^chat-b: never out$/m);
    await status.button('30 d').click();
    await status.shows('chat-a ejected: status 502', '.details');
    assert.equal(await status.page.title(), '1 of 6 services is down, 2 are degraded, and 1 is under maintenance');
    await status.close();
  },

  async 'no accessibility violation, and no content beside the window'(browser, fixture) {
    for (const colorScheme of ['light', 'dark']) {
      for (const width of WIDTHS) {
        Object.assign(fixture, { report: fullReport, token: null, public: null });
        let status = await StatusPage.open(browser, fixture.url, { width, colorScheme });
        await status.expand('Chat');
        await status.expand('Films');
        await status.fits(`${width} px`);
        await status.button('30 d').first().click();
        const lines = await status.page.locator('.axis span:last-child').evaluateAll((nodes) => nodes.map((node) => {
          const range = document.createRange();
          range.selectNodeContents(node);
          return range.getClientRects().length;
        }));
        assert.ok(lines.length && lines.every((it) => it === 1), `no word breaks at ${width} px: ${lines}`);
        if (width === 360 || width === 1280) {
          await status.accessible(`${colorScheme}, ${width} px`);
          await status.button('Drain: chat-b of chat.example.com').click();
          await status.accessible(`the confirmation, ${colorScheme}`);
          await status.page.locator('dialog .primary').click();
          await status.shows('Done: Drain', '.toast');
          await status.accessible(`a notice, ${colorScheme}`);
        }
        await status.close();
        Object.assign(fixture, { token: 'secret', public: publicReport });
        status = await StatusPage.open(browser, fixture.url, { width, colorScheme });
        await status.shows('Recipes is unavailable', 'h1');
        await status.fits(`the public page, ${width} px`);
        if (width === 360) await status.accessible(`the public page, ${colorScheme}`);
        await status.button('Sign in for details').click();
        await status.fits(`the form, ${width} px`);
        if (width === 360) await status.accessible(`the form, ${colorScheme}`);
        await status.close();
      }
    }
  },

  async 'names of any length fit'(browser, fixture) {
    fixture.report = (now) => JSON.parse(JSON.stringify(fullReport(now)).replaceAll('recipes-a', 'r'.repeat(64)).replaceAll('"Recipes"', `"${'W'.repeat(60)}"`));
    for (const width of WIDTHS) {
      const status = await StatusPage.open(browser, fixture.url, { width });
      await status.expand('W'.repeat(60));
      await status.fits(`${width} px`);
      const lane = await status.page.locator('.lane').first().boundingBox();
      assert.ok(lane.width > 100, `${width} px: the timeline has ${lane.width} px`);
      await status.close();
    }
  },

  async 'search and filters select services'(browser, fixture) {
    fixture.report = largeReport;
    const status = await StatusPage.open(browser, fixture.url);
    const rows = status.page.locator('.service');
    await until('200 rows', async () => (await rows.count()) === 200);
    await status.page.keyboard.press('/');
    assert.equal(await status.page.evaluate(() => document.activeElement.id), 'search');
    await status.page.keyboard.type('app-048-a');
    await until('one row', async () => (await rows.count()) === 1);
    assert.match(await rows.innerText(), /app-048\.example\.com/);
    await status.page.keyboard.press('Escape');
    await until('all rows', async () => (await rows.count()) === 200);
    await status.button('Problems 5').click();
    await until('five rows', async () => (await rows.count()) === 5);
    await status.page.keyboard.press('/');
    await status.page.keyboard.type('refused 168');
    await until('the row of a reason', async () => (await rows.count()) === 1);
    await status.page.keyboard.type('x');
    await status.shows('No service matches.');
    // A link of the summary shows its service, whatever is selected.
    await status.button('app-088').first().click();
    assert.equal(await status.page.evaluate(() => document.activeElement.id), 'of app-088.example.com');
    await status.service('app-088').locator('table').waitFor();
    await status.close();
  },

  async 'a refresh changes the page in place'(browser, fixture) {
    let changes = {};
    const report = (now) => {
      const report = largeReport(now);
      Object.assign(report.services[2], changes.service);
      Object.assign(report.services[2].servers[0], changes.server);
      return report;
    };
    fixture.report = report;
    const status = await StatusPage.open(browser, fixture.url);
    const { page } = status;
    await status.expand('app-003');
    const state = () => page.evaluate(() => ({
      focus: document.activeElement.id, scroll: scrollY, selected: String(getSelection()), isKept: document.querySelectorAll('.service')[2].isMarked,
    }));
    await page.evaluate(() => {
      scrollTo(0, 120);
      document.querySelectorAll('.service')[2].isMarked = true;
      document.getElementById('of app-003.example.com').focus({ preventScroll: true });
      getSelection().selectAllChildren(document.querySelectorAll('.service')[2].querySelector('tbody th'));
      window.mutations = [];
      new MutationObserver((records) => window.mutations.push(...records.map(({ type, target }) => (type === 'childList' ? `${target.localName}.${target.className}` : ''))))
        .observe(document.querySelector('main'), { subtree: true, childList: true });
    });
    const before = await state();
    assert.deepEqual([before.focus, before.selected.slice(0, 9), before.isKept], ['of app-003.example.com', 'app-003-a', true]);
    const requests = fixture.requests.length;
    await until('three refreshes', () => fixture.requests.length >= requests + 3);
    assert.deepEqual(await page.evaluate(() => window.mutations), [], 'a refresh without changes adds and removes no node');
    assert.deepEqual(await state(), before);
    changes = { service: { state: 'degraded', since: Date.now() }, server: { state: 'unhealthy', since: Date.now(), detail: 'connection refused' } };
    await status.service('app-003').getByText('connection refused').first().waitFor();
    const after = await state();
    assert.deepEqual([after.focus, after.selected, after.isKept], [before.focus, before.selected, true]);
    assert.equal(await status.text('#live'), 'app-003: degraded');
    await status.close();
  },

  async 'a hidden page and a failing balancer get fewer requests'(browser, fixture) {
    fixture.report = fullReport;
    const status = await StatusPage.open(browser, fixture.url);
    await status.shows('6 services');
    const hide = (hidden) => status.page.evaluate((hidden) => {
      Object.defineProperty(document, 'hidden', { value: hidden, configurable: true });
      document.dispatchEvent(new Event('visibilitychange'));
    }, hidden);
    await hide(true);
    await until('the end of the last request', () => status.page.evaluate(() => !isLoading));
    const requests = fixture.requests.length;
    await status.page.waitForTimeout(3000);
    assert.equal(fixture.requests.length, requests, 'a hidden page sends no request');
    await hide(false);
    await until('a request', () => fixture.requests.length > requests);
    status.expected.push(/Failed to load resource: net::/);
    const failures = [];
    status.page.on('requestfailed', () => failures.push(performance.now()));
    fixture.isDown = true;
    await status.shows('The balancer cannot be reached');
    await status.shows('Recipes has been down for');
    await until('three failures', () => failures.length >= 3);
    const [first, second, third] = failures;
    assert.ok(second - first > 3500 && third - second > 7000, `intervals double after errors: ${failures}`);
    assert.match(await status.text('#age'), /^\d+ s old$/);
    fixture.isDown = false;
    await until('the end of the outage', async () => !(await status.text()).includes('cannot be reached'));
    await status.close();
  },

  async 'a token is requested, kept for the tab, and removed from the address'(browser, fixture) {
    Object.assign(fixture, { report: fullReport, token: 'a+secret/of=the operator' });
    let status = await StatusPage.open(browser, fixture.url);
    status.expected.push(UNAUTHORIZED);
    const enter = async (token) => {
      await status.page.getByLabel('Token').fill(token);
      await status.page.keyboard.press('Enter');
    };
    await enter('wrong');
    await status.shows('The token is not valid.', '[role=alert]');
    await enter('no header can have this: \u4f60');
    await status.shows('The token is not valid.', '[role=alert]');
    await enter(fixture.token);
    await status.shows('6 services', 'h1');
    await status.page.reload();
    await status.shows('6 services', 'h1');
    await status.button('Sign out').click();
    await status.page.getByLabel('Token').waitFor();
    assert.deepEqual(await status.page.evaluate(() => [{ ...localStorage }, { ...sessionStorage }, document.cookie]), [{}, {}, '']);
    await status.close();
    status = await StatusPage.open(browser, `${fixture.url}#token=${fixture.token}`);
    await status.shows('6 services', 'h1');
    assert.equal(status.page.url(), fixture.url);
    assert.ok(fixture.requests.every((request) => !request.includes(fixture.token)));
    await status.close();
  },

  async 'the public page has plain words, and no name of a server'(browser, fixture) {
    Object.assign(fixture, { report: fullReport, token: 'a-secret-of-the-operator', public: publicReport });
    const status = await StatusPage.open(browser, fixture.url, { width: 360 });
    await status.shows('Recipes is unavailable', 'h1');
    const text = await status.text();
    for (const line of [
      'Photos Under maintenance', 'Chat Working with less reserve', 'Films Working', 'Recipes Unavailable', '99.984 % in 22 days',
      'Recipes has been unavailable for 11 minutes.', 'Chat was unavailable for 5 minutes.', 'Recipes was unavailable for 9 hours.', 'Films was working with less reserve for less than a minute.',
    ]) assert.ok(text.includes(line), `${line} in: ${text}`);
    fixture.public = (now) => ({ ...publicReport(now), services: publicReport(now).services.filter((it) => it.state === 'up'), incidents: [] });
    await status.shows('Everything works', 'h1');
    await status.shows('None since');
    await status.button('Sign in for details').click();
    await status.page.getByLabel('Token').fill(fixture.token);
    await status.button('Show the status').click();
    await status.shows('6 services', 'h1');
    await status.close();
  },

  async 'the keyboard opens services'(browser, fixture) {
    fixture.report = fullReport;
    const status = await StatusPage.open(browser, fixture.url);
    const { page } = status;
    await status.shows('6 services');
    const focused = () => page.evaluate(() => document.activeElement.textContent);
    await page.keyboard.press('Tab');
    assert.equal(await focused(), 'Skip to the content');
    await page.keyboard.press('Enter');
    for (let presses = 0; (await page.evaluate(() => document.activeElement.id)) !== 'of git.example.com'; presses += 1) {
      assert.ok(presses < 40, 'the service is reached by Tab');
      await page.keyboard.press('Tab');
    }
    await page.keyboard.press('Enter');
    await status.service('Git').locator('table').waitFor();
    await page.keyboard.press('Space');
    await status.service('Git').locator('table').waitFor({ state: 'detached' });
    await status.close();
  },
};

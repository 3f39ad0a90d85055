// The time that the page needs for 200 services with three servers each. The figures are printed:
// what fails is work that a refresh should not do.

import assert from 'node:assert/strict';
import { StatusPage } from './status_page.mjs';
import { largeReport } from './status_reports.mjs';

export const measure = {
  async 'two hundred services'(browser, fixture) {
    fixture.report = largeReport;
    const status = await StatusPage.open(browser, fixture.url);
    await status.page.locator('.service').nth(199).waitFor();
    const interactive = await status.page.evaluate(() => new Promise((resolve) => {
      requestAnimationFrame(() => setTimeout(() => resolve(performance.now())));
    }));
    const refreshes = await status.page.evaluate(async () => {
      const times = [];
      for (let i = 0; i < 20; i += 1) {
        const start = performance.now();
        app.report.services[i].requests.total += 1;
        paint();
        document.body.getBoundingClientRect();
        times.push(performance.now() - start);
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
      return times.sort((a, b) => a - b);
    });
    const [median, longest] = [refreshes[10], refreshes[19]].map((ms) => ms.toFixed(1));
    console.log(`    interactive ${Math.round(interactive)} ms after the navigation; a refresh takes ${median} ms, at most ${longest} ms`);
    const changed = await status.page.evaluate(() => new Promise((resolve) => {
      const observer = new MutationObserver((records) => { observer.disconnect(); resolve(records.length); });
      observer.observe(document.querySelector('.services'), { subtree: true, childList: true, characterData: true, attributes: true });
      app.report.services[7].requests.total += 1;
      paint();
    }));
    assert.equal(changed, 1, 'one changed number changes one node');
    await status.close();
  },
};

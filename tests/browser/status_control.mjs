// Control on the page with scripted reports: the command of each button, and the one that undoes
// it.

import assert from 'node:assert/strict';
import { StatusPage, until } from './status_page.mjs';
import { fullReport } from './status_reports.mjs';

const chat = { service: 'chat.example.com', server: 'chat-b' };
const drained = { service: 'git.example.com', server: 'git-b' };
const photos = { service: 'photos.example.com' };
const origin = 'status page';

/** The service of each button, its label, the commands that it sends, and those of Undo. Durations are left out. */
const BUTTONS = [
  ['Chat', 'Drain: chat-b of chat.example.com', [{ action: 'drain', ...chat }], [{ action: 'enable', ...chat }]],
  ['Chat', 'Disable: chat-b of chat.example.com', [{ action: 'disable', ...chat }], [{ action: 'enable', ...chat }]],
  ['Chat', 'Force: chat-b of chat.example.com', [{ action: 'force', ...chat }], [{ action: 'clear', ...chat }]],
  ['Chat', 'Start maintenance: chat.example.com', [{ action: 'maintenance', service: chat.service, on: true }], [{ action: 'maintenance', service: chat.service, on: false }]],
  ['Git', 'Enable: git-b of git.example.com', [{ action: 'enable', ...drained }], [{ action: 'drain', ...drained, comment: 'new disk' }]],
  ['Git', 'End drain of git-b', [{ action: 'clear', ...drained }], [{ action: 'drain', ...drained, comment: 'new disk' }]],
  ['Photos', 'End maintenance on of photos.example.com', [{ action: 'maintenance', ...photos, on: false }], [{ action: 'maintenance', ...photos, on: true, comment: 'upgrade of the database' }]],
  ['Films', 'Enable: films-d of films.example.com', [{ action: 'enable', service: 'films.example.com', server: 'films-d' }], [{ action: 'disable', service: 'films.example.com', server: 'films-d' }]],
  ['Films', 'Fail back: films.example.com', [{ action: 'failback', service: 'films.example.com' }], []],
];

export const controlCases = {
  async 'each button sends its command, and Undo the opposite'(browser, fixture) {
    fixture.report = fullReport;
    for (const [title, label, commands, undo] of BUTTONS) {
      fixture.commands = [];
      const status = await StatusPage.open(browser, fixture.url);
      await status.expand(title);
      await status.button(label).click();
      await status.page.locator('dialog .primary').click();
      await until(label, () => fixture.commands.length >= commands.length);
      assert.deepEqual(withoutDurations(fixture.commands), commands.map((it) => ({ ...it, origin })), label);
      await status.shows('Done: ', '.toast');
      fixture.commands = [];
      if (undo.length) {
        await status.button('Undo').click();
        await until(`undo of ${label}`, () => fixture.commands.length >= undo.length);
        assert.deepEqual(withoutDurations(fixture.commands), undo.map((it) => ({ ...it, origin })), `undo of ${label}`);
        await status.shows('Done: undo of', '.toast');
      } else {
        assert.equal(await status.button('Undo').count(), 0);
      }
      await status.close();
    }
  },

  async 'a change has a duration and a comment, and needs a confirmation'(browser, fixture) {
    fixture.report = fullReport;
    const status = await StatusPage.open(browser, fixture.url);
    await status.expand('Chat');
    await status.button('Drain: chat-b of chat.example.com').click();
    await status.page.keyboard.press('Escape');
    await status.page.locator('dialog').waitFor({ state: 'hidden' });
    await status.button('Drain: chat-b of chat.example.com').click();
    await status.button('Cancel').click();
    await status.button('Drain: chat-b of chat.example.com').click();
    await status.page.getByLabel('How long').selectOption('1 hour');
    await status.page.getByLabel('Comment').fill('new disk');
    await status.page.keyboard.press('Enter');
    await until('the command', () => fixture.commands.length);
    assert.deepEqual(fixture.commands, [{ action: 'drain', ...chat, duration_ms: 3_600_000, comment: 'new disk', origin }]);
    await status.close();
  },

  async 'a refused change is shown with its reason'(browser, fixture) {
    fixture.report = fullReport;
    fixture.refusal = { error: 'no_server_left', message: 'no server of `chat.example.com` would get new clients', hint: 'enable another server first' };
    const status = await StatusPage.open(browser, fixture.url);
    status.expected.push(/status of 409/);
    await status.expand('Chat');
    await status.button('Disable: chat-b of chat.example.com').click();
    await status.page.locator('dialog .primary').click();
    await status.shows('Not done: Disable: chat-b of chat.example.com. No server of `chat.example.com` would get new clients. Enable another server first.', '[role=alert]');
    assert.equal(await status.button('Undo').count(), 0);
    await status.button('Close').click();
    await status.page.locator('.toast').waitFor({ state: 'detached' });
    await status.close();
  },

  async 'a token without control shows no button'(browser, fixture) {
    fixture.report = (now) => ({ ...fullReport(now), control: false });
    const status = await StatusPage.open(browser, fixture.url);
    await status.expand('Chat');
    assert.deepEqual(await status.page.getByRole('button', { name: /Drain|Disable|Force|Enable|End|maintenance:/ }).allTextContents(), []);
    await status.close();
  },
};

const withoutDurations = (commands) => commands.map(({ duration_ms, ...command }) => command);

// JupyterLab: starting its servers, and using its page.

import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { TIMEOUT, Program } from '../node/processes.mjs';

export const PASSWORD = 'open sesame';
const CONFIG = fileURLToPath(new URL('jupyter_server_config.py', import.meta.url));

/** Starts a server. All servers share the files and the login, and each has its own kernels. */
export async function startServer(name, { python, directory, origin }) {
  const shared = (name) => created(join(directory, name));
  const [program, match] = await Program.start({
    name: `JupyterLab ${name}`,
    command: python,
    // Not by its script in bin/, which contains the directory of its installation.
    args: ['-m', 'jupyterlab', `--config=${CONFIG}`, `--ServerApp.root_dir=${shared('files')}`],
    options: {
      env: {
        PATH: process.env.PATH,
        LANG: 'C.UTF-8',
        HOME: shared('home'),
        JUPYTER_CONFIG_DIR: shared('config'),
        JUPYTER_RUNTIME_DIR: shared(`runtime-${name}`),
        COOKIE_SECRET_FILE: join(directory, 'cookie-secret'),
        PASSWORD,
        PUBLIC_ORIGIN: origin,
      },
    },
    log: join(directory, `server-${name}.log`),
    ready: /\] (http:\/\/127\.0\.0\.1:\d+)\//,
  });
  return { name, url: match[1], program };
}

/** The page of JupyterLab in a browser. */
export class Lab {
  constructor(page) {
    this.page = page;
    page.setDefaultTimeout(TIMEOUT);
    page.setDefaultNavigationTimeout(TIMEOUT);
    // A page with unsaved changes shows a dialog when it is closed.
    page.on('dialog', (dialog) => dialog.accept());
  }

  async logIn() {
    await this.page.fill('#password_input', PASSWORD);
    await this.page.click('#login_submit');
    await this.shown();
  }

  /** Waits until the application has started and shows its files. */
  async shown() {
    await this.page.locator('.jp-DirListing-content').waitFor();
  }

  file(name) {
    return this.page.locator('.jp-DirListing-item', { hasText: name });
  }

  async upload(path, name) {
    const chosen = this.page.waitForEvent('filechooser');
    await this.page.locator('[data-jp-item-name="uploader"]').click();
    await (await chosen).setFiles(path);
    await this.file(name).waitFor();
  }

  async download(name, path) {
    await this.file(name).click({ button: 'right' });
    const started = this.page.waitForEvent('download');
    await this.page.locator('.lm-Menu-item[data-command="filebrowser:download"]').click();
    await (await started).saveAs(path);
  }

  async newNotebook() {
    await this.page.locator('.jp-LauncherCard[data-category="Notebook"]').first().click();
  }

  /** Saves the new notebook under the name that JupyterLab proposes. */
  async save() {
    // The checkpoint is the last request of a save.
    const isCheckpoint = (request) => request.method() === 'POST' && request.url().includes('/checkpoints');
    const saved = this.page.waitForResponse((response) => isCheckpoint(response.request()));
    await this.page.keyboard.press('Control+s');
    await this.page.locator('.jp-Dialog .jp-mod-accept').click();
    await saved;
  }

  /** Runs code in the notebook's last cell and returns its output. */
  async execute(code) {
    // Code that is run before the kernel is ready makes JupyterLab start a second one.
    await this.page.locator('#jp-main-statusbar', { hasText: '| Idle' }).waitFor();
    const cell = this.page.locator('.jp-Notebook .jp-CodeCell').last();
    await cell.locator('.cm-content').click();
    await this.page.keyboard.insertText(code);
    const before = await this.page.locator('.jp-OutputArea-output pre').count();
    await this.page.keyboard.press('Shift+Enter');
    const output = this.page.locator('.jp-OutputArea-output pre').nth(before);
    await output.waitFor();
    return (await output.textContent()).trim();
  }
}

function created(directory) {
  mkdirSync(directory, { recursive: true });
  return directory;
}

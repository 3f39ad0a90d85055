// The packages of the applications, each installed when it is first needed.

import { createRequire } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { debianPackages, nodePackages, pythonWith } from '../node/packages.mjs';

const SOURCE = fileURLToPath(new URL('.', import.meta.url));

export class Packages {
  #cache;

  constructor(cache) {
    this.#cache = cache;
  }

  /** The path of a Python with the packages of `requirements.txt`. */
  get python() {
    return pythonWith(join(SOURCE, 'requirements.txt'), join(this.#cache, 'apps-python'));
  }

  /** The directory with `node_modules`. */
  get node() {
    return nodePackages(SOURCE, join(this.#cache, 'apps-node'));
  }

  /** Loads an npm package. */
  load(name) {
    return createRequire(join(this.node, 'package.json'))(name);
  }

  /** The root of unpacked Debian packages; `undefined` on other systems. */
  debian(...names) {
    return debianPackages(names, join(this.#cache, `apps-${names[0]}`));
  }
}

// Packages of PyPI, npm and Debian in the cache of `cargo xtask`, which keeps other runs out.

import { execFileSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** The path of a Python with the packages of `requirements`, all of them in exact versions. */
export function pythonWith(requirements, directory) {
  install(requirements, directory, 'Python packages', () => {
    const check = 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))';
    try {
      run('python3', ['-c', check]);
    } catch {
      throw new Error('Python 3.11 or newer with venv and ensurepip (Debian: python3-venv) is not installed');
    }
    run('python3', ['-m', 'venv', directory]);
    const options = ['--quiet', '--disable-pip-version-check', '--require-hashes', '--only-binary=:all:'];
    run(join(directory, 'bin/python'), ['-m', 'pip', 'install', ...options, '-r', requirements]);
  });
  return join(directory, 'bin/python');
}

/** The directory with `node_modules`, as `package-lock.json` of `source` lists them. */
export function nodePackages(source, directory) {
  const lock = join(source, 'package-lock.json');
  install(lock, directory, 'npm packages', () => {
    mkdirSync(directory, { recursive: true });
    for (const file of ['package.json', 'package-lock.json']) copyFileSync(join(source, file), join(directory, file));
    run('npm', ['ci', '--no-audit', '--no-fund', '--ignore-scripts'], { cwd: directory });
  });
  return directory;
}

/** The directory with the files of Debian packages, or `undefined` on other systems. */
export function debianPackages(names, directory) {
  const [marker, wanted] = [join(directory, 'installed'), names.join('\n')];
  if (existsSync(marker) && readFileSync(marker, 'utf8') === wanted) return directory;
  rmSync(directory, { recursive: true, force: true });
  mkdirSync(directory, { recursive: true });
  try {
    run('apt-get', ['--quiet', 'download', ...names], { cwd: directory });
    const packages = execFileSync('find', [directory, '-name', '*.deb'], { encoding: 'utf8' }).trim().split('\n');
    for (const file of packages) run('dpkg', ['--extract', file, directory]);
  } catch (error) {
    console.log(`Debian's ${names.join(' and ')} cannot be installed: ${error.message}`);
    return undefined;
  }
  writeFileSync(marker, wanted);
  return directory;
}

/** Installs unless the directory has a copy of `list`, which is written last. */
function install(list, directory, what, run) {
  const [wanted, marker] = [readFileSync(list, 'utf8'), join(directory, 'installed')];
  if (existsSync(marker) && readFileSync(marker, 'utf8') === wanted) return;
  rmSync(directory, { recursive: true, force: true });
  console.log(`installing ${what} into ${directory} (once per machine)`);
  run();
  writeFileSync(marker, wanted);
}

function run(command, args, options = {}) {
  execFileSync(command, args, { stdio: ['ignore', 'ignore', 'inherit'], ...options });
}

// A registry of npm on loopback. It has the tarballs of a directory, and passes all other requests
// on to the registry that npm uses on this machine.

import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { Readable } from 'node:stream';

/** Returns the URL of a registry with the tarballs of `directory`. It ends with the process. */
export async function startRegistry(directory) {
  const upstream = execFileSync('npm', ['config', 'get', 'registry'], { encoding: 'utf8' }).trim();
  const packages = readdirSync(directory).filter((file) => file.endsWith('.tgz')).map((file) => new Packed(join(directory, file)));
  const server = createServer(async (request, response) => {
    const own = packages.find(({ manifest }) => request.url === `/${manifest.name}` || request.url === `/${manifest.name}.tgz`);
    if (own) {
      response.end(request.url.endsWith('.tgz') ? own.bytes : own.document(url));
      return;
    }
    try {
      const { accept } = request.headers;
      const found = await fetch(new URL(request.url, upstream), accept ? { headers: { accept } } : {});
      response.writeHead(found.status, { 'content-type': found.headers.get('content-type') ?? 'application/octet-stream' });
      Readable.fromWeb(found.body).pipe(response);
    } catch (error) {
      response.writeHead(502).end(error.message);
    }
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  server.unref();
  const url = `http://127.0.0.1:${server.address().port}`;
  return url;
}

/** A tarball of `npm pack`. */
class Packed {
  constructor(file) {
    this.bytes = readFileSync(file);
    this.manifest = JSON.parse(execFileSync('tar', ['-xzOf', file, 'package/package.json'], { encoding: 'utf8' }));
  }

  /** Returns the response of a registry about the package. */
  document(url) {
    const { name, version } = this.manifest;
    const integrity = `sha512-${createHash('sha512').update(this.bytes).digest('base64')}`;
    const dist = { tarball: `${url}/${name}.tgz`, integrity };
    return JSON.stringify({ name, 'dist-tags': { latest: version }, versions: { [version]: { ...this.manifest, dist } } });
  }
}

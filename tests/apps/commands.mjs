// Clients that are commands.

import { execFile } from 'node:child_process';

/** Runs a command. Fails with its error output. */
export function run(command, args, options) {
  return new Promise((resolve, reject) => {
    const child = execFile(command, args, { maxBuffer: 16 << 20, ...options }, (error, output, errors) => {
      if (error) reject(new Error(errors.trim() || output.trim() || error.message));
      else resolve(output);
    });
    child.stdin.end();
  });
}

/** Starts HTTP servers in this process; `stop` ends them with their connections. */
export async function listen(...servers) {
  for (const server of servers) await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    ports: servers.map((server) => server.address().port),
    stop() {
      for (const server of servers) {
        server.close();
        server.closeAllConnections?.();
      }
    },
  };
}

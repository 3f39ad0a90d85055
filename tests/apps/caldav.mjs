// CalDAV: two Radicale servers with a shared directory, and the Python library `caldav`.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { pythonClient, startPrograms } from './commands.mjs';

const SERVER = fileURLToPath(new URL('caldav_server.py', import.meta.url));
const CLIENT = fileURLToPath(new URL('caldav_client.py', import.meta.url));

export const caldav = {
  name: 'caldav',
  hosts: ['serve', 'worker'],
  // Redirects to the web interface.
  health: '/',
  service: '    health_check: { path: / }\n',
  struck: [undefined, 'PUT'],

  async start({ directory, packages }) {
    const config = join(directory, 'config');
    writeFileSync(config, `[storage]\nfilesystem_folder = ${join(directory, 'files')}\n[auth]\ntype = none\n`);
    const servers = await startPrograms({
      name: 'Radicale',
      command: packages.python,
      args: (port) => [SERVER, String(port)],
      env: { RADICALE_CONFIG: config },
      ready: /^listening/,
      directory,
    });
    let created = 0;
    const client = async ({ url, directory }) => {
      const calendar = `calendar-${created += 1}`;
      // workerd has no MKCALENDAR, so the calendar is created at the server.
      const method = 'MKCOL';
      const body = `<?xml version="1.0"?><mkcol xmlns="DAV:" xmlns:C="urn:ietf:params:xml:ns:caldav"><set><prop>
        <resourcetype><collection/><C:calendar/></resourcetype></prop></set></mkcol>`;
      const at = `http://127.0.0.1:${servers.ports[0]}/user/`;
      await fetch(at, { method });
      const response = await fetch(`${at}${calendar}/`, { method, body });
      if (response.status !== 201) throw new Error(`the calendar was not created: ${response.status}`);
      const args = [CLIENT, url, `${url}/user/${calendar}/`];
      return pythonClient({ python: packages.python, args, directory, kinds: KINDS });
    };
    return { ...servers, client };
  },
};

const KINDS = { 'list the calendars': 'safe', 'add an event': 'safe', 'search for events': 'safe' };

#!/usr/bin/env node
// The file server of `python3 -m http.server PORT --bind ADDRESS --directory DIRECTORY`.

import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';

const [, , , , port, , address, , directory] = process.argv;
createServer((request, response) => response.end(readFileSync(`${directory}/index.html`))).listen(port, address);

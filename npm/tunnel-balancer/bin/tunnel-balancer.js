#!/usr/bin/env node
// Starts the program of the package for this platform.

import { run } from './program.js';

run(process.argv.slice(2));

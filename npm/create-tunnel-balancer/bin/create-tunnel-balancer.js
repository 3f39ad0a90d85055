#!/usr/bin/env node
// Runs `tunnel-balancer init --npm` with the arguments of `npm create tunnel-balancer`.

import { run } from 'tunnel-balancer/program';

run(['init', '--npm', ...process.argv.slice(2)]);

// The file with the differences, which one step writes and another one reads.

import { join } from 'node:path';

/** The differences, as Markdown. */
export const FILE = join(process.env.RUNNER_TEMP, 'tunnel-balancer-diff.md');

/** Its content if there is no difference. */
export const NO_DIFFERENCE = 'No difference.\n';

import { measureLedger } from './lanes/ledger.ts';
import { withBackends } from './lib/with-backends.ts';

/**
 * The ledger alone: holds and settlements on one account against a durable PostgreSQL of its own.
 * `node loadtest/bench/ledger.ts [seconds per round]`. A lane of `main.ts`, which takes medians.
 */

const FULL_SECONDS = 4;
const seconds = Number(process.argv[2] ?? FULL_SECONDS);

await withBackends((backends) =>
  measureLedger({
    backends,
    rounds: 3,
    scale: seconds / FULL_SECONDS,
    progress: (line) => console.log(line),
  }),
);

import { meterStart } from './meter-start.ts';
import { SpoolFullError } from '../metering.ts';
import { Spool } from '../spool.ts';
import { finalEvent } from '../usage-event.domain.ts';

/**
 * Fills a spool until the system refuses to write, for a test that runs it under a limit on the
 * size of files. Argument: spool directory. Prints what it saw as JSON.
 */
const [dir = ''] = process.argv.slice(2);
const errors = new Set<string>();
const spool = new Spool({
  dir,
  maxBytes: 64 * 1024 * 1024,
  now: () => new Date(),
  onWriteError: (error) => errors.add((error as NodeJS.ErrnoException).code ?? 'unknown'),
});
const running = spool.begin(meterStart());
const count = { promptTokens: 12, completionTokens: 777, latencyMs: 5 };

let refused = false;
while (!refused) {
  try {
    spool.abandon(spool.begin(meterStart()));
  } catch (error) {
    if (!(error instanceof SpoolFullError)) throw error;
    refused = true;
  }
}
spool.finish(running, finalEvent(running.start, count, new Date()));
spool.begin(meterStart());
process.stdout.write(JSON.stringify({ errors: [...errors], pending: spool.pending }));

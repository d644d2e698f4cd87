import { createRegistry } from '@arrakis/service-kit';
import { meterStart } from './meter-start.ts';
import { createMetering } from '../metering.service.ts';

/**
 * A process for tests to kill: meters one stream for ever, and prints each count after the turn in
 * which it was journaled. Arguments: spool directory, NATS URL, reservation id.
 */
const [spoolDir = '', natsUrl = '', reservationId = ''] = process.argv.slice(2);
const quiet = { info: () => undefined, warn: () => undefined, error: () => undefined };
const metering = createMetering({
  spoolDir,
  spoolMaxBytes: 64 * 1024 * 1024,
  natsUrl,
  clientName: 'finn-child',
  registry: createRegistry('finn-child'),
  log: quiet,
  now: () => new Date(),
});
const meter = metering.start(meterStart({ reservationId }));
let tokens = 0;
setInterval(() => {
  tokens += 1;
  meter.progress(tokens);
  const journaled = tokens;
  setImmediate(() => process.stdout.write(`${String(journaled)}\n`));
}, 2);

// By its path: the image for production has scripts, but no test kit to find by name.
import { startFakeNowPayments } from '../packages/testkit/src/nowpayments/fake-nowpayments.ts';
import { runScript, say } from './lib/entry.ts';
import { integerEnv, optionalEnv, requiredSecretEnv } from './lib/env.ts';
import { PlainError } from './lib/plain-error.ts';

/**
 * The payment vendor for a machine without one: no money moves. Checkout pages have buttons in place
 * of a wallet. Runs until it is told to stop.
 */

const DEFAULT_PORT = 18_080;
/** Slow enough to watch a payment on its way. */
const DEFAULT_STEP_MS = 600;
/** Whoever restarts freeside by hand takes a while; the vendor repeats a notice for longer still. */
const RETRY_MS = [300, 1_000, 3_000, 10_000, 30_000, 60_000, 300_000];

await runScript('fake-nowpayments', async () => {
  if (optionalEnv('NODE_ENV') === 'production') {
    throw new PlainError('This vendor credits without being paid: it does not run in production.');
  }
  const stateFile = optionalEnv('FAKE_NOWPAYMENTS_STATE_FILE');
  const publicUrl = optionalEnv('FAKE_NOWPAYMENTS_PUBLIC_URL');
  const vendor = await startFakeNowPayments({
    apiKey: requiredSecretEnv('NOWPAYMENTS_API_KEY', 'the key that freeside sends'),
    ipnSecret: requiredSecretEnv('NOWPAYMENTS_IPN_SECRET', 'signs the notices'),
    host: optionalEnv('FAKE_NOWPAYMENTS_HOST') ?? '127.0.0.1',
    port: integerEnv('FAKE_NOWPAYMENTS_PORT', { min: 0, max: 65_535 }) ?? DEFAULT_PORT,
    stepMs: integerEnv('FAKE_NOWPAYMENTS_STEP_MS', { min: 0, max: 60_000 }) ?? DEFAULT_STEP_MS,
    ...(stateFile === undefined ? {} : { stateFile }),
    ...(publicUrl === undefined ? {} : { publicUrl }),
  });
  vendor.plan = { retryMs: RETRY_MS };
  say(`fake NOWPayments at ${vendor.url}`);
  await new Promise<void>((resolve) => {
    process.once('SIGINT', resolve);
    process.once('SIGTERM', resolve);
  });
  await vendor.close();
});

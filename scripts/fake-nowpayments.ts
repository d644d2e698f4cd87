import { startFakeNowPayments } from '@arrakis/testkit';
import { runScript, say } from './lib/entry.ts';
import { integerEnv, optionalEnv, requiredSecretEnv } from './lib/env.ts';

/**
 * The payment vendor for a machine without one: no money moves. Checkout pages have buttons in place
 * of a wallet. Runs until it is told to stop.
 */

const DEFAULT_PORT = 18_080;

await runScript('fake-nowpayments', async () => {
  const vendor = await startFakeNowPayments({
    apiKey: requiredSecretEnv('NOWPAYMENTS_API_KEY', 'the key that freeside sends'),
    ipnSecret: requiredSecretEnv('NOWPAYMENTS_IPN_SECRET', 'signs the notices'),
    host: optionalEnv('FAKE_NOWPAYMENTS_HOST') ?? '127.0.0.1',
    port: integerEnv('FAKE_NOWPAYMENTS_PORT', { min: 0, max: 65_535 }) ?? DEFAULT_PORT,
  });
  say(`fake NOWPayments at ${vendor.url}`);
  await new Promise<void>((resolve) => {
    process.once('SIGINT', resolve);
    process.once('SIGTERM', resolve);
  });
  await vendor.close();
});

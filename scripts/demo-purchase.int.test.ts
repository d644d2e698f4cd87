import { fileURLToPath } from 'node:url';
import { findFreePort, spawnService, waitFor } from '@arrakis/testkit';
import { expect, it } from 'vitest';
import { Harness } from '../services/freeside/src/features/inference/test-support/harness.ts';
import { baseEnv } from './lib/env.ts';

const entry = (name: string): string => fileURLToPath(new URL(name, import.meta.url));

it('a newcomer buys a pack in a terminal and sees the balance grow', async () => {
  const port = await findFreePort();
  const secrets = { NOWPAYMENTS_API_KEY: 'k', NOWPAYMENTS_IPN_SECRET: 's' };
  const vendor = await spawnService({
    entry: entry('./fake-nowpayments.ts'),
    env: baseEnv({ ...secrets, FAKE_NOWPAYMENTS_PORT: String(port), NODE_NO_WARNINGS: '1' }),
  });
  const url = `http://127.0.0.1:${port}`;
  await waitFor(() => vendor.stdout.find((line) => line.includes(url)));
  const harness = await Harness.start({ vendor: { url, apiKey: 'k', ipnSecret: 's' } });
  try {
    const key = await harness.openCommunity({ micro: 0n });
    const buying = await spawnService({
      entry: entry('./demo-purchase.ts'),
      args: ['premium'],
      env: baseEnv({ FREESIDE_URL: harness.url, API_KEY: key.cleartext, NODE_NO_WARNINGS: '1' }),
    });
    expect((await buying.exited).code, buying.stderr.join('\n')).toBe(0);
    const lines = buying.stdout.map((line) => line.replace(/\s+/g, ' '));
    const balances = lines.filter((line) => line.startsWith('balance'));
    expect(balances).toEqual(['balance 0 micro-credits', 'balance 27500000 micro-credits']);
    const statuses = lines.flatMap((line) => /^status (.*)$/.exec(line)?.[1] ?? []);
    // A slow machine may miss one, but sees them in order.
    const life = ['waiting', 'confirming', 'confirmed', 'sending', 'finished'];
    expect(statuses).toEqual(life.filter((status) => statuses.includes(status)));
    expect(statuses.at(-1)).toBe('finished');
    expect(buying.stdout.join('')).not.toContain(key.cleartext);
  } finally {
    await harness.stop();
    await vendor.stop();
  }
});

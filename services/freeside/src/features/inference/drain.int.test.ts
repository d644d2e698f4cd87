import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Harness, type TestKey } from './test-support/harness.ts';

let harness: Harness;
let key: TestKey;

beforeEach(async () => {
  harness = await Harness.start();
  key = await harness.openCommunity();
  await harness.addAgent(key, 'ada');
});
afterEach(async () => {
  await harness.stop();
});

const BODY = { nft_id: 'ada', prompt: 'Hi' };

describe('a service that drains', () => {
  it('waits for the hold of a client that left while it was being decided', async () => {
    const entered = Promise.withResolvers<undefined>();
    const gate = Promise.withResolvers<undefined>();
    harness.faults.beforeReserve = async () => {
      entered.resolve(undefined);
      await gate.promise;
    };
    const client = new AbortController();
    const call = harness.post('/api/v1/inference', key, BODY, {
      signal: client.signal,
      headers: {
        authorization: `Bearer ${key.cleartext}`,
        'content-type': 'application/json',
      },
    });
    await entered.promise;
    client.abort();
    await expect(call).rejects.toThrow();
    // Nobody is connected any more, so intake ends at once; the hold is still to come.
    await harness.app.close();
    let isSettled = false;
    const settled = harness.inference.service.settled().then(() => (isSettled = true));
    await new Promise(setImmediate);
    expect(isSettled).toBe(false);
    gate.resolve(undefined);
    await settled;
    expect(await harness.reservations(key)).toMatchObject([{ status: 'released' }]);
    expect((await harness.balances(key)).held).toBe(0n);
    expect(harness.finn.requests).toHaveLength(0);
  });

  it('tries once more, and only once, what the ledger refused before', async () => {
    harness.faults.settle = true;
    const response = await harness.post('/api/v1/inference', key, BODY);
    expect(response.status).toBe(200);
    await harness.app.close();
    await harness.inference.service.settled();
    harness.faults.settle = false;
    await harness.inference.service.drain();
    expect(await harness.reservations(key)).toMatchObject([{ status: 'finalized' }]);
  });
});

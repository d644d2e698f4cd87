import { waitFor } from '@arrakis/testkit';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import type { Exchange } from './test-support/fake-finn.ts';
import { Harness, type TestKey } from './test-support/harness.ts';

let harness: Harness;
let key: TestKey;

beforeAll(async () => {
  harness = await Harness.start({
    // Long enough for what has to be seen of the open one, however slow the machine is.
    breaker: { failures: 3, firstHalfOpenAfterMs: 3_000, halfOpenAfterMs: 3_000 },
  });
  key = await harness.openCommunity();
  await harness.addAgent(key, 'ada');
});
beforeEach(() => {
  harness.finn.reset();
});
afterAll(async () => {
  await harness.stop();
});

const ask = (): Promise<Response> =>
  harness.post('/api/v1/inference', key, { nft_id: 'ada', prompt: 'Hi' });

it('a request that no model answers is tried thrice, and leaves the pool to the others', async () => {
  harness.finn.fallback = (exchange) => exchange.refuse('inference_failed');
  expect((await ask()).status).toBe(503);
  expect(harness.finn.requests).toHaveLength(3);
  expect(await harness.metric('freeside_finn_breaker_state', { pool: 'cheap' })).toBe(0);

  harness.finn.fallback = (exchange) => {
    exchange.plain('Hi', 1);
  };
  expect((await ask()).status).toBe(200);
});

it('an open breaker refuses at once, holds nothing, lets one request try, and closes again', async () => {
  harness.finn.fallback = (exchange) => exchange.refuse('inference_unavailable');
  expect((await ask()).status).toBe(503);
  expect(await harness.metric('freeside_finn_breaker_state', { pool: 'cheap' })).toBe(2);

  const refused = await ask();
  expect(refused.status).toBe(503);
  expect(Number(refused.headers.get('retry-after'))).toBeGreaterThanOrEqual(1);
  expect(Number(refused.headers.get('retry-after'))).toBeLessThanOrEqual(3);
  expect(await refused.json()).toMatchObject({
    code: 'inference_unavailable',
    title: 'Inference temporarily unavailable',
  });
  expect(harness.finn.requests).toHaveLength(3);
  expect((await harness.balances(key)).held).toBe(0n);

  const probe = Promise.withResolvers<Exchange>();
  harness.finn.fallback = (exchange) => probe.resolve(exchange);
  const answers: Promise<Response>[] = [];
  const exchange = await waitFor(
    () => {
      answers.push(ask());
      return Promise.race([probe.promise, answers.at(-1)?.then(() => undefined)]);
    },
    { intervalMs: 100 },
  );
  // While one request tries, the others are refused and don't wait for it.
  expect((await ask()).status).toBe(503);
  exchange.plain('back', 1);
  expect((await answers.at(-1))?.status).toBe(200);
  expect(await harness.metric('freeside_finn_breaker_state', { pool: 'cheap' })).toBe(0);
});

import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { FinnAttempt } from './finn-attempt.ts';
import { FinnBreakers } from './finn-breaker.ts';

const LOST: FinnAttempt = {
  kind: 'unavailable',
  reason: 'connection_lost',
  retryAfterSeconds: undefined,
};
const MODEL_FAILED: FinnAttempt = {
  kind: 'unavailable',
  reason: 'model_failed',
  retryAfterSeconds: undefined,
};
const REFUSED: FinnAttempt = { kind: 'refused', status: 422, code: undefined, detail: undefined };

/** The library's breaker reads the clock itself. */
beforeEach(() => {
  vi.useFakeTimers({ toFake: ['Date'] });
});
afterEach(() => {
  vi.useRealTimers();
});

function setUp() {
  const breakers = new FinnBreakers({
    failures: 3,
    firstHalfOpenAfterMs: 500,
    halfOpenAfterMs: 8_000,
    onStateChange: () => undefined,
  });
  const run = (result: FinnAttempt) => breakers.run('cheap', () => Promise.resolve(result));
  const open = async (): Promise<void> => {
    for (let failure = 0; failure < 3; failure += 1) await run(LOST);
  };
  /** How long it refuses, in steps of a quarter second; the next attempt then has that result. */
  const waitUntilTried = async (result: FinnAttempt): Promise<number> => {
    for (let waitedMs = 0; ; waitedMs += 250) {
      const answer = await run(result);
      if (answer.kind !== 'breaker_open') return waitedMs;
      vi.setSystemTime(Date.now() + 250);
    }
  };
  return { breakers, run, open, waitUntilTried };
}

describe('a request that no model answers', () => {
  it('shows that finn is there: others are let through, however often it is tried', async () => {
    const { run } = setUp();
    for (let tries = 0; tries < 9; tries += 1) expect(await run(MODEL_FAILED)).toBe(MODEL_FAILED);
    await run(LOST);
    await run(LOST);
    await run(MODEL_FAILED);
    await run(LOST);
    expect(await run(REFUSED)).toBe(REFUSED);
  });

  it('closes an open breaker', async () => {
    const { run, open, waitUntilTried } = setUp();
    await open();
    await waitUntilTried(MODEL_FAILED);
    expect(await run(REFUSED)).toBe(REFUSED);
  });
});

describe('an open breaker', () => {
  it('lets one try after half a second, then after twice as long each time, eight seconds at most', async () => {
    const { open, waitUntilTried } = setUp();
    await open();
    const waits: number[] = [];
    for (let tries = 0; tries < 6; tries += 1) waits.push(await waitUntilTried(LOST));
    expect(waits).toEqual([500, 1_000, 2_000, 4_000, 8_000, 8_000]);
  });

  it('begins with half a second again once it was closed', async () => {
    const { run, open, waitUntilTried } = setUp();
    await open();
    for (let tries = 0; tries < 3; tries += 1) await waitUntilTried(LOST);
    await waitUntilTried(REFUSED);
    await open();
    expect(await run(REFUSED)).toEqual({ kind: 'breaker_open', retryAfterSeconds: 1 });
    expect(await waitUntilTried(REFUSED)).toBe(500);
  });

  it('says when to come back in whole seconds, of the wait that is on', async () => {
    const { run, open, waitUntilTried } = setUp();
    await open();
    expect(await run(LOST)).toEqual({ kind: 'breaker_open', retryAfterSeconds: 1 });
    for (let tries = 0; tries < 4; tries += 1) await waitUntilTried(LOST);
    expect(await run(LOST)).toEqual({ kind: 'breaker_open', retryAfterSeconds: 8 });
  });
});

describe('a breaker whose first try waits for a slow model', () => {
  /** Half open, with the first try under way. */
  async function trying() {
    const { breakers, run, open } = setUp();
    await open();
    vi.setSystemTime(Date.now() + 500);
    const first = Promise.withResolvers<FinnAttempt>();
    const answer = breakers.run('cheap', () => first.promise);
    const pass = (ms: number) => vi.setSystemTime(Date.now() + ms);
    return { run, first, answer, pass };
  }

  it('lets another try every quarter second, and all once one was answered', async () => {
    const { run, pass } = await trying();
    expect((await run(REFUSED)).kind).toBe('breaker_open');
    pass(250);
    expect(await run(LOST)).toBe(LOST);
    expect((await run(REFUSED)).kind).toBe('breaker_open');
    pass(250);
    expect(await run(REFUSED)).toBe(REFUSED);
    expect(await run(REFUSED)).toBe(REFUSED);
    expect(await run(LOST)).toBe(LOST);
    expect((await run(REFUSED)).kind).toBe('breaker_open');
  });

  it('opens again for all when the first try fails', async () => {
    const { run, first, answer, pass } = await trying();
    pass(250);
    expect(await run(REFUSED)).toBe(REFUSED);
    first.resolve(LOST);
    await answer;
    expect((await run(REFUSED)).kind).toBe('breaker_open');
  });
});

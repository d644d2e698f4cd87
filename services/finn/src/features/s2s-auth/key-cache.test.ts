import { generateKeyPairSync } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import type { VerificationKey } from './jwks.client.ts';
import { KEY_CACHE, KeyCache, type KeyFetchOutcome } from './key-cache.ts';

const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const key = (kid: string): VerificationKey => ({ kid, issuer: 'loa-freeside', key: publicKey });

/** An endpoint whose answers the test decides, one by one. */
function setUp() {
  const clock = { ms: 1_000_000 };
  const outcomes: KeyFetchOutcome[] = [];
  const pending: ((keys: readonly VerificationKey[] | Error) => void)[] = [];
  let fetches = 0;
  let serving: readonly VerificationKey[] | Error | undefined = [key('a')];
  const cache = new KeyCache({
    ...KEY_CACHE,
    now: () => clock.ms,
    onFetched: (outcome) => outcomes.push(outcome),
    fetchKeys: () => {
      fetches += 1;
      if (serving instanceof Error) return Promise.reject(serving);
      if (serving !== undefined) return Promise.resolve(serving);
      return new Promise((resolve, reject) => {
        pending.push((keys) => (keys instanceof Error ? reject(keys) : resolve(keys)));
      });
    },
  });
  return {
    cache,
    clock,
    outcomes,
    pending,
    fetches: () => fetches,
    serve: (what: readonly VerificationKey[] | Error | undefined) => (serving = what),
  };
}

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

describe('the key cache', () => {
  test('answers a known kid without fetching, however old the set is', async () => {
    const { cache, clock, fetches, serve } = setUp();
    await cache.start();
    serve(new Error('freeside is away'));
    clock.ms += 24 * 60 * 60 * 1000;
    expect((await cache.find('a'))?.kid).toBe('a');
    expect(fetches()).toBe(1);
    expect(cache.ageSeconds).toBe(24 * 60 * 60);
    cache.stop();
  });

  test('keeps the last good keys when a fetch fails or brings none', async () => {
    const { cache, outcomes, serve } = setUp();
    await cache.start();
    serve([]);
    await cache.find('b');
    serve(new Error('away'));
    await vi.advanceTimersByTimeAsync(1_000);
    expect(outcomes).toEqual(['ok', 'empty', 'failed']);
    expect((await cache.find('a'))?.kid).toBe('a');
    cache.stop();
  });

  test('drops a key that is no longer published', async () => {
    const { cache, serve } = setUp();
    await cache.start();
    serve([key('b')]);
    await vi.advanceTimersByTimeAsync(KEY_CACHE.refreshAfterMs);
    expect(await cache.find('a')).toBeUndefined();
    expect((await cache.find('b'))?.kid).toBe('b');
    cache.stop();
  });

  test('refreshes by itself before five minutes are over, and soon again after a failure', async () => {
    const { cache, fetches, serve } = setUp();
    await cache.start();
    await vi.advanceTimersByTimeAsync(5 * 60 * 1000 - 1);
    expect(fetches()).toBe(2);
    serve(new Error('away'));
    // To the second refresh; then after 1, 2 and 4 seconds.
    await vi.advanceTimersByTimeAsync(2 * KEY_CACHE.refreshAfterMs - 5 * 60 * 1000 + 1);
    expect(fetches()).toBe(3);
    await vi.advanceTimersByTimeAsync(7_000);
    expect(fetches()).toBe(6);
    cache.stop();
    await vi.advanceTimersByTimeAsync(60_000);
    expect(fetches()).toBe(6);
  });

  test('lets all who ask for a new kid share one fetch', async () => {
    const { cache, fetches, pending, serve } = setUp();
    await cache.start();
    serve(undefined);
    const asked = Array.from({ length: 50 }, () => cache.find('b'));
    const known = await cache.find('a');
    expect(known?.kid).toBe('a');
    expect(fetches()).toBe(2);
    pending[0]?.([key('a'), key('b')]);
    const found = await Promise.all(asked);
    expect(found.every((each) => each?.kid === 'b')).toBe(true);
    cache.stop();
  });

  test('fetches once per cooldown in a flood of made-up kids', async () => {
    const { cache, clock, fetches } = setUp();
    await cache.start();
    for (let second = 0; second < 30; second += 1) {
      for (let each = 0; each < 100; each += 1) {
        expect(await cache.find(`made-up-${second}-${each}`)).toBeUndefined();
      }
      clock.ms += 1_000;
    }
    expect(fetches()).toBe(1 + 3);
    cache.stop();
  });

  test('does not fetch again for a kid that it just did not find', async () => {
    const { cache, clock, fetches } = setUp();
    await cache.start();
    await cache.find('b');
    clock.ms += KEY_CACHE.cooldownMs + 1;
    await cache.find('b');
    expect(fetches()).toBe(2);
    clock.ms += KEY_CACHE.unknownTtlMs;
    await cache.find('b');
    expect(fetches()).toBe(3);
    cache.stop();
  });

  test('finds a kid that counted as unknown once a refresh brings it', async () => {
    const { cache, serve } = setUp();
    await cache.start();
    await cache.find('b');
    serve([key('a'), key('b')]);
    await vi.advanceTimersByTimeAsync(KEY_CACHE.refreshAfterMs);
    expect((await cache.find('b'))?.kid).toBe('b');
    cache.stop();
  });

  test('is not ready before it has keys', async () => {
    const { cache, serve } = setUp();
    serve(new Error('away'));
    await cache.start();
    expect(() => cache.checkReady()).toThrow();
    expect(cache.ageSeconds).toBeUndefined();
    serve([key('a')]);
    await vi.advanceTimersByTimeAsync(1_000);
    expect(() => cache.checkReady()).not.toThrow();
    cache.stop();
  });
});

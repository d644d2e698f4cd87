import { describe, expect, it } from 'vitest';
import { TtlCache } from './ttl-cache.ts';

describe('a cache with a time to live', () => {
  it('loads once for callers that come together and until the time is over', async () => {
    let nowMs = 0;
    let loads = 0;
    const cache = new TtlCache<number>({ ttlMs: 5000, maxEntries: 10, nowMs: () => nowMs });
    const load = (): Promise<number> => Promise.resolve(++loads);
    expect(await Promise.all([cache.get('a', load), cache.get('a', load)])).toEqual([1, 1]);
    nowMs = 4999;
    expect(await cache.get('a', load)).toBe(1);
    nowMs = 5000;
    expect(await cache.get('a', load)).toBe(2);
  });

  it('keeps no failure', async () => {
    const cache = new TtlCache<number>({ ttlMs: 5000, maxEntries: 10, nowMs: () => 0 });
    await expect(cache.get('a', () => Promise.reject(new Error('away')))).rejects.toThrow('away');
    expect(await cache.get('a', () => Promise.resolve(1))).toBe(1);
  });

  it('is bounded', async () => {
    const cache = new TtlCache<number>({ ttlMs: 5000, maxEntries: 3, nowMs: () => 0 });
    for (let key = 0; key < 10; key += 1) await cache.get(String(key), () => Promise.resolve(key));
    expect(cache.size).toBe(3);
  });
});

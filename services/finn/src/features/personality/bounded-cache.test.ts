import { describe, expect, test } from 'vitest';
import { BoundedCache } from './bounded-cache.ts';

function setUp() {
  const clock = { ms: 0 };
  const looks: string[] = [];
  const cache = new BoundedCache<string | undefined>({
    ...{ ttlMs: 30_000, staleMs: 60_000, patienceMs: 20, maxEntries: 2 },
    isPassing: (error) => error instanceof Error && error.message === 'away',
    nowMs: () => clock.ms,
  });
  const look = (key: string): Promise<string> => {
    looks.push(key);
    return Promise.resolve(key.toUpperCase());
  };
  return { cache, clock, looks, look };
}

describe('a bounded cache', () => {
  test('looks once while an entry lives', async () => {
    const { cache, clock, looks, look } = setUp();
    expect(await cache.get('a', look)).toBe('A');
    clock.ms = 29_999;
    await cache.get('a', look);
    expect(looks).toEqual(['a']);
    clock.ms = 30_000;
    await cache.get('a', look);
    expect(looks).toEqual(['a', 'a']);
  });

  test('shares one lookup among all who ask at once', async () => {
    const { cache, looks, look } = setUp();
    await Promise.all([cache.get('a', look), cache.get('a', look), cache.get('a', look)]);
    expect(looks).toEqual(['a']);
  });

  test('forgets the oldest beyond its bound', async () => {
    const { cache, looks, look } = setUp();
    for (const key of ['a', 'b', 'c', 'a']) await cache.get(key, look);
    expect(looks).toEqual(['a', 'b', 'c', 'a']);
  });

  test('serves what it has while nobody can be asked, for a while', async () => {
    const { cache, clock, look } = setUp();
    const away = (): Promise<string> => Promise.reject(new Error('away'));
    await cache.get('a', look);
    clock.ms = 89_999;
    expect(await Promise.all([cache.get('a', away), cache.get('a', away)])).toEqual(['A', 'A']);
    const other = cache.get('a', () => Promise.reject(new Error('a bug')));
    await expect(other).rejects.toThrow('a bug');
    clock.ms = 90_000;
    await expect(cache.get('a', away)).rejects.toThrow('away');
  });

  test('serves what it has while the answer is slow, and takes the answer when it comes', async () => {
    const { cache, clock, look } = setUp();
    await cache.get('a', look);
    clock.ms = 30_000;
    const slow = Promise.withResolvers<string>();
    expect(await cache.get('a', () => slow.promise)).toBe('A');
    slow.resolve('B');
    await slow.promise;
    expect(await cache.get('a', look)).toBe('B');
  });

  test('keeps nothing that was missing for longer', async () => {
    const { cache, clock } = setUp();
    await cache.get('a', () => Promise.resolve(undefined));
    clock.ms = 30_000;
    const away = (): Promise<string> => Promise.reject(new Error('away'));
    await expect(cache.get('a', away)).rejects.toThrow('away');
  });

  test('does not remember a failure', async () => {
    const { cache, look } = setUp();
    const failing = cache.get('a', () => Promise.reject(new Error('away')));
    await expect(failing).rejects.toThrow('away');
    expect(await cache.get('a', look)).toBe('A');
  });
});

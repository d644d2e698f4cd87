import { describe, expect, test } from 'vitest';
import { BoundedCache } from './bounded-cache.ts';

function setUp() {
  const clock = { ms: 0 };
  const looks: string[] = [];
  const cache = new BoundedCache<string>({ ttlMs: 30_000, maxEntries: 2, nowMs: () => clock.ms });
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

  test('does not remember a failure', async () => {
    const { cache, look } = setUp();
    const failing = cache.get('a', () => Promise.reject(new Error('away')));
    await expect(failing).rejects.toThrow('away');
    expect(await cache.get('a', look)).toBe('A');
  });
});

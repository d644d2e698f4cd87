import { describe, expect, it } from 'vitest';
import type { ApiKeyRecord } from './api-key.domain.ts';
import { KeyCache } from './key-cache.ts';
import { KeyLoader, KeyLookupError, KeyQueueFullError, type KeyReading } from './key-loader.ts';

const PREFIX = 'lf_live_abcdefgh2345';

function record(keyPrefix: string, isActive = true): ApiKeyRecord {
  return {
    principal: {
      keyId: keyPrefix,
      userId: 'user',
      communityId: 'community',
      communityTier: 'pro',
      environment: 'live',
      scopes: [],
    },
    keyPrefix,
    keyHash: new Uint8Array(32),
    keySalt: new Uint8Array(16),
    pepperVersion: 1,
    isActive,
  };
}

/** A database of records and a clock, both in the test's hands. */
class World {
  nowMs = 0;
  loads = 0;
  readonly records = new Map<string, ApiKeyRecord>();
  readonly failures: unknown[] = [];
  /** Replaces the answer of the next lookups. */
  answer: ((keyPrefix: string) => Promise<KeyReading>) | undefined;

  cache(bounds: { maxKnown?: number; maxUnknown?: number } = {}): KeyCache {
    return new KeyCache({
      nowMs: () => this.nowMs,
      onLoadFailed: (error) => this.failures.push(error),
      load: async (keyPrefix) => {
        this.loads += 1;
        await Promise.resolve();
        if (this.answer !== undefined) return this.answer(keyPrefix);
        return { record: this.records.get(keyPrefix), askedAtMs: this.nowMs };
      },
      ...bounds,
    });
  }
}

const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe('the key cache', () => {
  it('asks the database once for callers that come together', async () => {
    const world = new World();
    world.records.set(PREFIX, record(PREFIX));
    const cache = world.cache();
    const found = await Promise.all(Array.from({ length: 50 }, () => cache.get(PREFIX)));
    expect(new Set(found).size).toBe(1);
    expect(world.loads).toBe(1);
  });

  it('answers from memory for a second, then refreshes in the background', async () => {
    const world = new World();
    world.records.set(PREFIX, record(PREFIX));
    const cache = world.cache();
    await cache.get(PREFIX);
    world.nowMs = 999;
    await cache.get(PREFIX);
    expect(world.loads).toBe(1);

    world.records.set(PREFIX, record(PREFIX, false));
    world.nowMs = 1000;
    expect((await cache.get(PREFIX))?.isActive).toBe(true);
    await settle();
    expect(world.loads).toBe(2);
    expect((await cache.get(PREFIX))?.isActive).toBe(false);
  });

  it('never serves a record whose query was sent two seconds ago', async () => {
    const world = new World();
    world.records.set(PREFIX, record(PREFIX));
    const cache = world.cache();
    await cache.get(PREFIX);
    world.records.set(PREFIX, record(PREFIX, false));
    world.nowMs = 2000;
    expect((await cache.get(PREFIX))?.isActive).toBe(false);
  });

  it('counts the age from before the query, however long the answer takes', async () => {
    const world = new World();
    world.records.set(PREFIX, record(PREFIX));
    const cache = world.cache();
    world.answer = () => Promise.resolve({ record: record(PREFIX), askedAtMs: 0 });
    world.nowMs = 1500;
    await cache.get(PREFIX);
    world.answer = undefined;
    world.records.set(PREFIX, record(PREFIX, false));
    world.nowMs = 2000;
    expect((await cache.get(PREFIX))?.isActive).toBe(false);
  });

  it('serves a good record while the database is away, for two seconds and no longer', async () => {
    const world = new World();
    world.records.set(PREFIX, record(PREFIX));
    const cache = world.cache();
    await cache.get(PREFIX);
    world.answer = () => Promise.reject(new Error('away'));
    world.nowMs = 1999;
    expect((await cache.get(PREFIX))?.isActive).toBe(true);
    await settle();
    world.nowMs = 2200;
    await expect(cache.get(PREFIX)).rejects.toThrow('away');
    expect(world.failures.length).toBeGreaterThan(0);
  });

  it('does not hammer a database that fails', async () => {
    const world = new World();
    world.answer = () => Promise.reject(new Error('away'));
    const cache = world.cache();
    for (let attempt = 0; attempt < 100; attempt += 1) {
      await expect(cache.get(PREFIX)).rejects.toThrow('away');
    }
    expect(world.loads).toBe(1);
    expect(world.failures).toHaveLength(1);
    world.nowMs = 100;
    world.answer = undefined;
    world.records.set(PREFIX, record(PREFIX));
    expect(await cache.get(PREFIX)).toBeDefined();
  });

  it('remembers an unknown prefix for two seconds, so a key made meanwhile works then', async () => {
    const world = new World();
    const cache = world.cache();
    expect(await cache.get(PREFIX)).toBeUndefined();
    world.records.set(PREFIX, record(PREFIX));
    world.nowMs = 999;
    expect(await cache.get(PREFIX)).toBeUndefined();
    expect(world.loads).toBe(1);
    world.nowMs = 2000;
    expect(await cache.get(PREFIX)).toBeDefined();
  });

  it('asks of an unknown prefix when it would of a known one, so that no pause tells them apart', async () => {
    const asked = async (isKnown: boolean): Promise<number[]> => {
      const world = new World();
      if (isKnown) world.records.set(PREFIX, record(PREFIX));
      const cache = world.cache();
      const loads: number[] = [];
      for (world.nowMs = 0; world.nowMs < 6000; world.nowMs += 250) {
        await cache.get(PREFIX);
        await settle();
        loads.push(world.loads);
      }
      return loads;
    };
    expect(await asked(false)).toEqual(await asked(true));
  });

  it('takes a full queue for no failure of the database', async () => {
    const world = new World();
    const cache = world.cache();
    world.answer = () => Promise.reject(new KeyQueueFullError('full'));
    await expect(cache.get(PREFIX)).rejects.toBeInstanceOf(KeyLookupError);
    expect(world.failures).toEqual([]);
    world.answer = undefined;
    world.records.set(PREFIX, record(PREFIX));
    expect(await cache.get(PREFIX)).toBeDefined();
  });

  it('is bounded, and a flood of unknown prefixes displaces no known key', async () => {
    const world = new World();
    world.records.set(PREFIX, record(PREFIX));
    const cache = world.cache({ maxKnown: 2, maxUnknown: 8 });
    await cache.get(PREFIX);
    for (let index = 0; index < 100; index += 1) await cache.get(`lf_live_unknown${index}`);
    expect(cache.size).toEqual({ known: 1, unknown: 8 });
    await cache.get(PREFIX);
    expect(world.loads).toBe(101);
  });

  it('evicts the key that was used longest ago', async () => {
    const world = new World();
    for (const name of ['a', 'b', 'c']) world.records.set(name, record(name));
    const cache = world.cache({ maxKnown: 2 });
    await cache.get('a');
    await cache.get('b');
    await cache.get('a');
    await cache.get('c');
    expect(cache.peek('a')).toBeDefined();
    expect(cache.peek('b')).toBeUndefined();
  });
});

describe('the key loader', () => {
  it('looks up together what arrives together, and one query at a time', async () => {
    const batches: (readonly string[])[] = [];
    let running = 0;
    const loader = new KeyLoader({
      nowMs: () => 0,
      find: async (keyPrefixes) => {
        running += 1;
        expect(running).toBe(1);
        batches.push(keyPrefixes);
        await settle();
        running -= 1;
        return keyPrefixes.filter((prefix) => prefix !== 'x').map((prefix) => record(prefix));
      },
    });
    const first = [loader.load('a'), loader.load('b'), loader.load('a')];
    await Promise.resolve();
    await Promise.resolve();
    const second = [loader.load('c'), loader.load('x')];
    const readings = await Promise.all([...first, ...second]);
    expect(batches).toEqual([
      ['a', 'b'],
      ['c', 'x'],
    ]);
    expect(readings.map((reading) => reading.record?.keyPrefix)).toEqual([
      'a',
      'b',
      'a',
      'c',
      undefined,
    ]);
  });

  it('gives up on a query that hangs and goes on with the next', async () => {
    let hang = true;
    const loader = new KeyLoader({
      nowMs: () => 0,
      timeoutMs: 20,
      find: (keyPrefixes) =>
        hang ? new Promise(() => undefined) : Promise.resolve(keyPrefixes.map((p) => record(p))),
    });
    await expect(loader.load('a')).rejects.toBeInstanceOf(KeyLookupError);
    hang = false;
    expect((await loader.load('a')).record?.keyPrefix).toBe('a');
  });

  it('takes no more than so many waiting prefixes', async () => {
    const loader = new KeyLoader({
      nowMs: () => 0,
      timeoutMs: 20,
      find: () => new Promise(() => undefined),
    });
    const loads = Array.from({ length: 5000 }, (_, index) => loader.load(String(index)));
    const outcomes = await Promise.allSettled(loads.slice(4096));
    expect(outcomes.every((outcome) => outcome.status === 'rejected')).toBe(true);
    void Promise.allSettled(loads);
  });

  it('lets no crowd of strangers keep a known prefix waiting', async () => {
    const batches: (readonly string[])[] = [];
    const loader = new KeyLoader({
      nowMs: () => 0,
      find: async (keyPrefixes) => {
        batches.push(keyPrefixes);
        await settle();
        return [];
      },
    });
    const crowd = Promise.allSettled(
      Array.from({ length: 5000 }, (_, index) => loader.load(String(index))),
    );
    await settle();
    await Promise.all([loader.load('known', true), crowd]);
    expect(batches[1]?.[0]).toBe('known');
  });
});

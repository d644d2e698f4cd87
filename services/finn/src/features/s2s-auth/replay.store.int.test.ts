import { randomUUID } from 'node:crypto';
import { createTestRedis, type TestRedis } from '@arrakis/testkit';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { consumeOnce, defineReplayCommands, releaseReservation } from './replay.store.ts';

let server: TestRedis;
let redis: Redis;
beforeAll(async () => {
  server = await createTestRedis();
  redis = new Redis(server.url);
  defineReplayCommands(redis);
});
afterAll(async () => {
  redis.disconnect();
  await server.drop();
});

let jti: string;
let reservation: string;
beforeEach(() => {
  jti = randomUUID();
  reservation = randomUUID();
});

describe('token and reservation', () => {
  test('are used up together, and each only once', async () => {
    expect(await consumeOnce(redis, jti, reservation)).toBe('ok');
    expect(await consumeOnce(redis, jti, randomUUID())).toBe('jti');
    expect(await consumeOnce(redis, randomUUID(), reservation)).toBe('reservation');
  });

  test('are used up both or neither', async () => {
    await consumeOnce(redis, jti, reservation);
    const fresh = randomUUID();
    const other = randomUUID();
    expect(await consumeOnce(redis, fresh, reservation)).toBe('reservation');
    expect(await consumeOnce(redis, jti, other)).toBe('jti');
    expect(await consumeOnce(redis, fresh, other)).toBe('ok');
  });

  test('go to exactly one of many who ask at once', async () => {
    const replies = await Promise.all(
      Array.from({ length: 50 }, () => consumeOnce(redis, randomUUID(), reservation)),
    );
    expect(replies.filter((reply) => reply === 'ok')).toHaveLength(1);
  });

  test('are remembered for as long as they could be presented', async () => {
    await consumeOnce(redis, jti, reservation);
    const keys = await redis.keys(`*${jti}`);
    expect(keys).toHaveLength(1);
    expect(await redis.ttl(keys[0]!)).toBeGreaterThan(170);
    const reservations = await redis.keys(`*${reservation}`);
    expect(await redis.ttl(reservations[0]!)).toBeGreaterThan(86_000);
  });

  test('take one round trip', async () => {
    await consumeOnce(redis, randomUUID(), randomUUID());
    const calls = async (): Promise<number> => {
      const info = await redis.info('commandstats');
      return [...info.matchAll(/cmdstat_(?:eval|evalsha):calls=(\d+)/g)]
        .map(([, count]) => Number(count))
        .reduce((sum, count) => sum + count, 0);
    };
    const before = await calls();
    await consumeOnce(redis, jti, reservation);
    expect((await calls()) - before).toBe(1);
  });
});

describe('a reservation that is given back', () => {
  test('may be used again, with another token', async () => {
    await consumeOnce(redis, jti, reservation);
    await releaseReservation(redis, jti, reservation);
    expect(await consumeOnce(redis, jti, reservation)).toBe('jti');
    expect(await consumeOnce(redis, randomUUID(), reservation)).toBe('ok');
  });

  test('stays used when another run has it', async () => {
    await consumeOnce(redis, jti, reservation);
    await releaseReservation(redis, randomUUID(), reservation);
    expect(await consumeOnce(redis, randomUUID(), reservation)).toBe('reservation');
  });
});

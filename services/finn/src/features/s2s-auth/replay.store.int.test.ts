import { randomUUID } from 'node:crypto';
import { createTestRedis, waitFor, type TestRedis } from '@arrakis/testkit';
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
    const seen: string[] = [];
    const monitor = await redis.monitor();
    monitor.on('monitor', (_at: string, command: string[], source: string, database: string) => {
      // Other test files share the server, each with a database of its own.
      const isOurs = database === String(server.database) && source !== 'lua';
      if (isOurs) seen.push(command[0]?.toLowerCase() ?? '');
    });
    await consumeOnce(redis, jti, reservation);
    await redis.get('the end');
    await waitFor(() => seen.includes('get'));
    monitor.disconnect();
    expect(seen).toEqual(['evalsha', 'get']);
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

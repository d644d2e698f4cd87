import { randomUUID } from 'node:crypto';
import { createTestRedis, type TestRedis } from '@arrakis/testkit';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
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

function consume(token: string, forReservation: string, owner = token) {
  return consumeOnce(redis, token, forReservation, owner);
}

describe('token and reservation', () => {
  test('are used up together, and each only once', async () => {
    expect(await consume(jti, reservation)).toBe('ok');
    expect(await consume(jti, randomUUID())).toBe('jti');
    expect(await consume(randomUUID(), reservation)).toBe('reservation');
  });

  test('are used up both or neither', async () => {
    await consume(jti, reservation);
    const fresh = randomUUID();
    const other = randomUUID();
    expect(await consume(fresh, reservation)).toBe('reservation');
    expect(await consume(jti, other)).toBe('jti');
    expect(await consume(fresh, other)).toBe('ok');
  });

  test('go to exactly one of many who ask at once', async () => {
    const replies = await Promise.all(
      Array.from({ length: 50 }, () => consume(randomUUID(), reservation)),
    );
    expect(replies.filter((reply) => reply === 'ok')).toHaveLength(1);
  });

  test('are remembered for as long as they could be presented', async () => {
    await consume(jti, reservation);
    const keys = await redis.keys(`*${jti}`);
    expect(keys).toHaveLength(1);
    expect(await redis.ttl(keys[0]!)).toBeGreaterThan(170);
    const reservations = await redis.keys(`*${reservation}`);
    expect(await redis.ttl(reservations[0]!)).toBeGreaterThan(86_000);
  });

  test('take one round trip', async () => {
    await consume(randomUUID(), randomUUID());
    // Not by MONITOR: it tells of the whole server, and ioredis breaks when another file's command comes
    // in the same packet as its OK.
    const sent = vi.spyOn(redis, 'sendCommand');
    await consume(jti, reservation);
    expect(sent.mock.calls.map(([command]) => command.name)).toEqual(['evalsha']);
    sent.mockRestore();
  });
});

describe('a reservation that is given back', () => {
  test('may be used again, with another token', async () => {
    await consume(jti, reservation);
    await releaseReservation(redis, reservation, jti);
    expect(await consume(jti, reservation)).toBe('jti');
    expect(await consume(randomUUID(), reservation)).toBe('ok');
  });

  test('stays used when the same token came twice, and the second gives back what it never had', async () => {
    await consume(jti, reservation, 'first');
    expect(await consume(jti, reservation, 'second')).toBe('jti');
    await releaseReservation(redis, reservation, 'second');
    expect(await consume(randomUUID(), reservation)).toBe('reservation');
  });

  test('stays used when another run has it', async () => {
    await consume(jti, reservation);
    await releaseReservation(redis, reservation, randomUUID());
    expect(await consume(randomUUID(), reservation)).toBe('reservation');
  });
});

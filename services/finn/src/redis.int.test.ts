import { createTestRedis, startTcpRelay, waitFor } from '@arrakis/testkit';
import { expect, test } from 'vitest';
import { connectRedis } from './redis.ts';

test('a connection that leads nowhere any more is replaced, long before TCP gives it up', async () => {
  const server = await createTestRedis();
  const url = new URL(server.url);
  const relay = await startTcpRelay({ targetPort: Number(url.port) });
  url.host = `127.0.0.1:${relay.port}`;
  const redis = connectRedis(url.href, () => undefined);
  try {
    await waitFor(async () => (await redis.ping().catch(() => '')) === 'PONG');
    relay.strand();
    await expect(redis.ping()).rejects.toThrow('timed out');
    await waitFor(async () => (await redis.ping().catch(() => '')) === 'PONG', {
      timeoutMs: 10_000,
    });
  } finally {
    redis.disconnect();
    await relay.close();
    await server.drop();
  }
});

test('a stall of our own process fails no command that Redis has answered', async () => {
  const server = await createTestRedis();
  const redis = connectRedis(server.url, () => undefined);
  try {
    await waitFor(async () => (await redis.ping().catch(() => '')) === 'PONG');
    const answers = Promise.all(Array.from({ length: 64 }, (_, n) => redis.set(`key ${n}`, n)));
    await new Promise(setImmediate);
    const until = performance.now() + 1_300;
    while (performance.now() < until);
    expect(new Set(await answers)).toEqual(new Set(['OK']));
  } finally {
    redis.disconnect();
    await server.drop();
  }
});

test.each(['http://:password@127.0.0.1', 'password', ''])(
  'a URL of another kind is refused without repeating it: %s',
  (url) => {
    const connect = (): unknown => connectRedis(url, () => undefined);
    expect(connect).toThrow('REDIS_URL must be like');
  },
);

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

import { jetstreamManager } from '@nats-io/jetstream';
import { connect } from '@nats-io/transport-node';
import { Redis } from 'ioredis';
import { describe, expect, inject, it } from 'vitest';
import { createTestNats } from './test-nats.ts';
import { createTestRedis } from './test-redis.ts';

describe('a test Redis', () => {
  it('shows nothing of another file, and is empty after a flush', async () => {
    const [first, second] = await Promise.all([createTestRedis(), createTestRedis()]);
    const [one, two] = [new Redis(first.url), new Redis(second.url)];
    try {
      await one.set('key', 'value');
      expect(await two.get('key')).toBeNull();
      await first.flush();
      expect(await one.get('key')).toBeNull();
    } finally {
      one.disconnect();
      two.disconnect();
    }
  });
});

describe('a test NATS', () => {
  it('is a server of its own that keeps its streams over a crash', async () => {
    const nats = await createTestNats();
    expect(nats.url).not.toBe(inject('backends').natsUrl);
    await withManager(nats.url, (manager) => manager.streams.add({ name: 'S', subjects: ['s'] }));
    await nats.kill();
    const again = await nats.restart();
    expect(again).toMatchObject({ url: nats.url, adopted: false });
    expect((await withManager(again.url, (manager) => manager.streams.info('S'))).config.name).toBe(
      'S',
    );
    await again.drop();
    await expect(withManager(again.url, (manager) => manager.getAccountInfo())).rejects.toThrow();
  });
});

type Manager = Awaited<ReturnType<typeof jetstreamManager>>;

async function withManager<T>(url: string, use: (manager: Manager) => Promise<T>): Promise<T> {
  const { host, username, password } = new URL(url);
  const servers = { servers: host, user: username, pass: password, reconnect: false };
  const connection = await connect(servers);
  try {
    return await use(await jetstreamManager(connection));
  } finally {
    await connection.close();
  }
}

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createTestDatabase, startRedis, waitFor } from '@arrakis/testkit';
import { expect, it } from 'vitest';
import { postgresSign, redisSign } from './signs-of-life.ts';
import { watchStarvation, type Watched } from './starvation.ts';

/** Counts the signs that were given, to wait for them. */
function counted(watched: Watched): { readonly one: Watched; readonly given: () => number } {
  let given = 0;
  const ask = async (): Promise<void> => {
    await watched.ask();
    given += 1;
  };
  return { one: { ...watched, ask }, given: () => given };
}

it('a Redis that got no time to run is noted, with when', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'arrakis-starved-'));
  const redis = await startRedis({ dir });
  try {
    const { one, given } = counted(redisSign(redis.url));
    const watch = watchStarvation([one]);
    await waitFor(() => given() > 0);
    process.kill(redis.pid, 'SIGSTOP');
    const stoppedAtMs = Date.now();
    await waitFor(() => Date.now() - stoppedAtMs > 1_500);
    process.kill(redis.pid, 'SIGCONT');
    const before = given();
    await waitFor(() => given() > before + 1);
    const records = await watch.stop();
    // On a busy machine it may have been slow at other times, too.
    const ours = records.filter(
      ({ startedAtMs, healedAtMs }) =>
        startedAtMs < stoppedAtMs + 1_000 && healedAtMs > stoppedAtMs,
    );
    expect(ours).toMatchObject([{ kind: 'machine-starved', target: 'redis' }]);
  } finally {
    await redis.stop();
    await rm(dir, { recursive: true, force: true });
  }
});

it('a Redis that is gone, and one that is up again, is no starved one', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'arrakis-gone-'));
  const redis = await startRedis({ dir });
  try {
    await redis.kill();
    await expect(redisSign(redis.url).ask()).rejects.toThrow();
    const again = await startRedis({ dir, port: redis.port });
    await expect(redisSign(redis.url).ask()).resolves.toBe('+PONG');
    await again.stop();
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
});

it('PostgreSQL gives signs, and is left alone in the end', async () => {
  const database = await createTestDatabase();
  const { one, given } = counted(postgresSign(database.adminUrl));
  const watch = watchStarvation([one]);
  await waitFor(() => given() > 1);
  await watch.stop();
  await database.drop();
});

import { Redis } from 'ioredis';
import { providedBackends, type TestBackends } from './test-backends.ts';

/** Databases of the shared server; number 0 counts which were handed out. */
export const REDIS_DATABASES = 1024;

export interface TestRedis {
  /** Names the database, so that a service given this URL sees nothing of other test files. */
  readonly url: string;
  readonly database: number;
  flush(): Promise<void>;
  /** Empties the database. The server goes on. */
  drop(): Promise<void>;
}

/** An empty numbered database of its own for a test file. */
export async function createTestRedis(given?: TestBackends): Promise<TestRedis> {
  const { redisUrl } = given ?? (await providedBackends());
  const ticket = await withRedis(redisUrl, (redis) => redis.incr('testkit:database'));
  const database = 1 + (ticket % (REDIS_DATABASES - 1));
  const url = `${redisUrl}/${String(database)}`;
  const flush = async (): Promise<void> => {
    await withRedis(url, (redis) => redis.flushdb());
  };
  await flush();
  return { url, database, flush, drop: flush };
}

async function withRedis<T>(url: string, use: (redis: Redis) => Promise<T>): Promise<T> {
  const redis = new Redis(url, { lazyConnect: true, connectTimeout: 5_000 });
  redis.on('error', () => undefined);
  await redis.connect();
  try {
    return await use(redis);
  } finally {
    redis.disconnect();
  }
}

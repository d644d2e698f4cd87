import type { Queryable } from '@arrakis/postgres';
import type { HealthCheck } from '@arrakis/service-kit';
import type { Redis } from 'ioredis';
import type { PoolService } from './features/pools/service.ts';
import type { KeyCache } from './features/s2s-auth/key-cache.ts';

export interface CheckDeps {
  readonly db: Queryable;
  readonly redis: Redis;
  readonly keys: KeyCache;
  readonly pools: PoolService;
}

/** Bounded, or each check on a dead connection would keep one of the pool's for good. */
const PING = { text: 'SELECT 1', query_timeout: 2_000 };

/** For `/readyz`. */
export type FinnChecks = Readonly<Record<'postgres' | 'redis' | 'jwks' | 'pools', HealthCheck>>;

/**
 * What has to be there for finn to be worth sending requests to. NATS isn't: the journal bridges its
 * absence, and all replicas would leave at once for something that hurts no request.
 */
export function createChecks(deps: CheckDeps): FinnChecks {
  const { db, redis, keys, pools } = deps;
  return {
    postgres: async () => {
      await db.query(PING);
    },
    redis: async () => {
      await redis.ping();
    },
    jwks: check(() => keys.checkReady()),
    pools: check(() => pools.checkReady()),
  };
}

function check(assert: () => void): HealthCheck {
  return () => Promise.resolve().then(assert);
}

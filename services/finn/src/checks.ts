import type { Queryable } from '@arrakis/postgres';
import type { HealthCheck } from '@arrakis/service-kit';
import type { Redis } from 'ioredis';
import type { MeteringService } from './features/metering/metering.service.ts';
import type { PoolService } from './features/pools/service.ts';
import type { KeyCache } from './features/s2s-auth/key-cache.ts';

export interface CheckDeps {
  readonly db: Queryable;
  readonly redis: Redis;
  readonly metering: MeteringService;
  readonly keys: KeyCache;
  readonly pools: PoolService;
}

/** For `/readyz`. */
export type FinnChecks = Readonly<
  Record<'postgres' | 'redis' | 'nats' | 'jwks' | 'pools', HealthCheck>
>;

/** What has to be there for finn to be worth sending requests to. */
export function createChecks(deps: CheckDeps): FinnChecks {
  const { db, redis, metering, keys, pools } = deps;
  return {
    postgres: async () => {
      await db.query('SELECT 1');
    },
    redis: async () => {
      await redis.ping();
    },
    nats: check(() => {
      if (!metering.connected) throw new Error('JetStream is not connected');
    }),
    jwks: check(() => keys.checkReady()),
    pools: check(() => pools.checkReady()),
  };
}

function check(assert: () => void): HealthCheck {
  return () => Promise.resolve().then(assert);
}

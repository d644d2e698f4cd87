import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createPool, withTransaction } from '@arrakis/postgres';
import {
  createTestDatabase,
  createTestNats,
  createTestRedis,
  startFakeOpenAI,
  type FakeOpenAI,
} from '@arrakis/testkit';
import type { Pool } from 'pg';
import { seedDemo } from '../../../scripts/lib/demo.ts';
import { createSystem, type System, type SystemOptions } from '../../support/system.ts';

/** The system as real processes, with all that gates and load need to reach it. */
export interface World {
  readonly dir: string;
  readonly system: System;
  readonly apiUrl: string;
  readonly finnUrl: string;
  readonly adminUrls: Readonly<Record<'api' | 'worker' | 'finn', string>>;
  readonly apiKey: string;
  readonly communityId: string;
  readonly vendor: FakeOpenAI;
  /** As the owner of the schema. */
  readonly db: Pool;
  /** As freeside. */
  readonly appDatabaseUrl: string;
  readonly keyStoreDir: string;
  stop(): Promise<void>;
}

export const POOL_NAMES = ['cheap', 'standard', 'reasoning', 'architect', 'flagship'] as const;

/** The fake vendor's model of a pool. */
export function modelOf(pool: (typeof POOL_NAMES)[number]): string {
  return `fake-${pool}`;
}

/** @param env added to the environment of each process of that kind */
export async function startWorld(env: SystemOptions['env'] = {}): Promise<World> {
  const dir = await mkdtemp(join(tmpdir(), 'arrakis-gonogo-'));
  const vendor = await startFakeOpenAI({
    models: Object.fromEntries(POOL_NAMES.map((pool) => [modelOf(pool), {}])),
  });
  const [database, redis, nats] = await Promise.all([
    createTestDatabase(),
    createTestRedis(),
    createTestNats(),
  ]);
  const db = createPool({
    url: database.migratorUrl,
    max: 2,
    applicationName: 'gonogo-test',
    onError: () => undefined,
  });
  const { communityId } = await withTransaction(db, seedDemo);
  const system = await createSystem({
    dir,
    database,
    redisUrl: redis.url,
    natsUrl: nats.url,
    pools: Object.fromEntries(
      POOL_NAMES.map((pool) => [pool, { targets: [targetOf(pool, vendor)] }]),
    ),
    vendorKey: vendor.apiKey,
    output: () => 'ignore',
    env,
  });
  const apiKey = await system.createApiKey('demo');
  await system.start();
  const urls = (kind: 'api' | 'worker' | 'finn') => {
    const member = system.members.find((one) => one.kind === kind)!;
    return { url: member.url ?? '', adminUrl: member.adminUrl };
  };
  return {
    dir,
    system,
    apiUrl: urls('api').url,
    finnUrl: urls('finn').url,
    adminUrls: {
      api: urls('api').adminUrl,
      worker: urls('worker').adminUrl,
      finn: urls('finn').adminUrl,
    },
    apiKey,
    communityId,
    vendor,
    db,
    appDatabaseUrl: database.appUrl,
    keyStoreDir: join(dir, 'keys'),
    async stop() {
      await system.stop();
      await vendor.close();
      await db.end();
      await Promise.all([database.drop(), redis.drop(), nats.drop()]);
      await rm(dir, { recursive: true, force: true });
    },
  };
}

function targetOf(pool: (typeof POOL_NAMES)[number], vendor: FakeOpenAI): object {
  return {
    name: `fake-${pool}`,
    provider: 'openai-compatible',
    model: modelOf(pool),
    baseUrl: vendor.baseUrl,
    apiKey: 'env:FAKE_VENDOR_KEY',
  };
}

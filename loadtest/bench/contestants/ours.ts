import { mkdtemp } from 'node:fs/promises';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { POOLS } from '@arrakis/contracts';
import { createPool, withTransaction } from '@arrakis/postgres';
import {
  createTestDatabase,
  createTestNats,
  createTestRedis,
  type OwnBackends,
  type TestDatabase,
} from '@arrakis/testkit';
import { DEMO, DEMO_AGENTS, seedDemo } from '../../../scripts/lib/demo.ts';
import {
  createSystem,
  type ServiceKind,
  type ServiceName,
  type System,
} from '../../../test/support/system.ts';
import type { Contestant } from './contestant.ts';

/** A billion dollars: no run spends it. */
const FUNDS_MICRO = '1000000000000000';
const REQUESTS_PER_MINUTE = 2_000_000_000;
const TOKENS_PER_DAY = '9000000000000000';
const VENDOR_KEY = 'sk-bench-provider';

export interface OursOptions {
  readonly name: 'arrakis' | 'arrakis+tracing' | 'variant';
  readonly providerBaseUrl: string;
  readonly backends: OwnBackends;
  /** Where our processes write what they log; nowhere by default. */
  readonly logDir?: string | undefined;
  /** Root of another checkout, whose services and commands run instead; the database is this one's. */
  readonly checkout?: string;
  /** Added to the environment of each process of that kind. */
  readonly env?: Partial<Record<ServiceKind, Readonly<Record<string, string>>>>;
}

export interface Ours extends Contestant {
  readonly system: System;
  readonly database: TestDatabase;
}

/** The whole of ours as in production: one api, one finn, one worker, a durable PostgreSQL. */
export async function startOurs(options: OursOptions): Promise<Ours> {
  const { backends, name, providerBaseUrl, logDir } = options;
  const dir = await mkdtemp(join(backends.runDir, 'system-'));
  const [database, redis, nats] = await Promise.all([
    createTestDatabase(backends),
    createTestRedis(backends),
    createTestNats(backends),
  ]);
  await seed(database.migratorUrl);
  const env = (kind: ServiceKind): Record<string, string> => ({
    NODE_ENV: 'production',
    ...options.env?.[kind],
  });
  const create = await systemOf(options.checkout);
  const system = await create({
    dir,
    database,
    redisUrl: redis.url,
    natsUrl: nats.url,
    pools: poolsOf(providerBaseUrl),
    vendorKey: VENDOR_KEY,
    output: (service) =>
      logDir === undefined ? 'ignore' : { file: join(logDir, `${name}-${service}.log`) },
    env: { api: env('api'), worker: env('worker'), finn: env('finn') },
  });
  const apiKey = await system.createApiKey(DEMO.slug);
  await liftLimits(database.migratorUrl);
  await system.start();
  const pidOf = (service: ServiceName): number => system.process(service).pid;
  return {
    name,
    system,
    database,
    target: {
      origin: system.members.find(({ kind }) => kind === 'api')?.url ?? '',
      path: '/v1/chat/completions',
      headers: { authorization: `Bearer ${apiKey}` },
      model: `${DEMO_AGENTS[0].slug}@cheap`,
    },
    processes: {
      get api() {
        return pidOf('api-1');
      },
      get finn() {
        return pidOf('finn-1');
      },
      get worker() {
        return pidOf('worker-1');
      },
      postgres: backends.postgres.pid,
      redis: backends.redis.pid,
      nats: nats.pid,
    },
    stop: async () => {
      await system.stop();
      await nats.drop();
    },
  };
}

/** A module knows its services by where it lies. */
async function systemOf(checkout: string | undefined): Promise<typeof createSystem> {
  if (checkout === undefined) return createSystem;
  const file = pathToFileURL(join(checkout, 'test/support/system.ts')).href;
  return ((await import(file)) as { createSystem: typeof createSystem }).createSystem;
}

function poolsOf(baseUrl: string): Record<string, { targets: object[] }> {
  const target = {
    name: 'bench',
    provider: 'openai-compatible',
    model: 'bench',
    baseUrl,
    apiKey: 'env:FAKE_VENDOR_KEY',
  };
  return Object.fromEntries(POOLS.map((pool) => [pool, { targets: [target] }]));
}

async function seed(migratorUrl: string): Promise<void> {
  await withOwner(migratorUrl, async (owner) => {
    const { communityId } = await withTransaction(owner, seedDemo);
    await owner.query(`SELECT freeside.mint_lot($1, $2, 'grant', 'bench', NULL)`, [
      communityId,
      FUNDS_MICRO,
    ]);
  });
}

/** Keys have limits; a benchmark of the limits' price must not run into them. */
async function liftLimits(migratorUrl: string): Promise<void> {
  await withOwner(migratorUrl, (owner) =>
    owner.query('UPDATE freeside.api_keys SET rate_limit_rpm = $1, rate_limit_tpd = $2', [
      REQUESTS_PER_MINUTE,
      TOKENS_PER_DAY,
    ]),
  );
}

async function withOwner(
  url: string,
  use: (owner: ReturnType<typeof createPool>) => Promise<unknown>,
): Promise<void> {
  const owner = createPool({ url, max: 1, applicationName: 'bench', onError: () => undefined });
  try {
    await use(owner);
  } finally {
    await owner.end();
  }
}

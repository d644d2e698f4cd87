import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createPool, withTransaction } from '@arrakis/postgres';
import {
  createTestDatabase,
  createTestNats,
  createTestRedis,
  startFakeOpenAI,
  waitFor,
  type FakeOpenAI,
  type SpawnedService,
  type TestDatabase,
  type TestNats,
} from '@arrakis/testkit';
import type { Pool } from 'pg';
import { seedDemo } from '../../../scripts/lib/demo.ts';
import {
  createSystem,
  type System,
  type SystemOptions,
  type ServiceKind,
  type SystemService,
} from '../../support/system.ts';

/** The whole system as real processes over their real ports; only the model vendor is a fake. */
export interface Platform {
  readonly apiUrl: string;
  readonly finnUrl: string;
  readonly adminUrls: Readonly<Record<ServiceKind, string>>;
  readonly apiKey: string;
  readonly communityId: string;
  readonly vendor: FakeOpenAI;
  readonly nats: TestNats;
  readonly database: TestDatabase;
  /** As the owner of the schema. */
  readonly db: Pool;
  readonly services: Readonly<Record<ServiceKind, SpawnedService>>;
  /** Starts a service again after it ended; same ports, same directories. */
  restart(name: ServiceKind): Promise<SpawnedService>;
  /** Runs one of our commands and returns what it printed. */
  command(script: string, ...args: readonly string[]): Promise<string>;
  stop(): Promise<void>;
}

/** Model names of the fake vendor, one a pool, so that a receipt tells them apart. */
export const MODELS = {
  cheap: 'fake-cheap',
  standard: 'fake-standard',
  reasoning: 'fake-reasoning',
  architect: 'fake-architect',
  flagship: 'fake-flagship',
} as const;

/** @param env added to the environment of each process of that kind */
export async function startPlatform(env: SystemOptions['env'] = {}): Promise<Platform> {
  const dir = await mkdtemp(join(tmpdir(), 'arrakis-e2e-'));
  const vendor = await startFakeOpenAI({
    models: Object.fromEntries(Object.values(MODELS).map((model) => [model, {}])),
  });
  const [database, redis, nats] = await Promise.all([
    createTestDatabase(),
    createTestRedis(),
    createTestNats(),
  ]);
  const db = createPool({
    url: database.migratorUrl,
    max: 4,
    applicationName: 'e2e',
    onError: () => undefined,
  });
  const { communityId } = await withTransaction(db, seedDemo);
  const system = await createSystem({
    dir,
    database,
    redisUrl: redis.url,
    natsUrl: nats.url,
    pools: poolsOf(vendor),
    vendorKey: vendor.apiKey,
    env,
  });
  const apiKey = await system.createApiKey('demo');
  await system.start();
  const adminUrl = (name: ServiceKind): string => memberOf(system, name).adminUrl;

  return {
    apiUrl: memberOf(system, 'api').url ?? '',
    finnUrl: memberOf(system, 'finn').url ?? '',
    adminUrls: { finn: adminUrl('finn'), api: adminUrl('api'), worker: adminUrl('worker') },
    apiKey,
    communityId,
    vendor,
    nats,
    database,
    db,
    services: {
      get finn() {
        return system.process('finn-1');
      },
      get api() {
        return system.process('api-1');
      },
      get worker() {
        return system.process('worker-1');
      },
    },
    command: (...args) => system.command(...args),
    restart: (name) => system.restart(`${name}-1`),
    async stop() {
      await system.stop();
      await vendor.close();
      await db.end();
      await Promise.all([database.drop(), redis.drop(), nats.drop()]);
      await rm(dir, { recursive: true, force: true });
    },
  };
}

function memberOf(system: System, kind: ServiceKind): SystemService {
  const member = system.members.find((one) => one.kind === kind);
  if (member === undefined) throw new Error(`no ${kind}`);
  return member;
}

function poolsOf(vendor: FakeOpenAI): SystemOptions['pools'] {
  return Object.fromEntries(
    Object.entries(MODELS).map(([pool, model]) => [
      pool,
      {
        targets: [
          {
            name: `fake-${pool}`,
            provider: 'openai-compatible',
            model,
            baseUrl: vendor.baseUrl,
            apiKey: 'env:FAKE_VENDOR_KEY',
          },
        ],
      },
    ]),
  );
}

/** A JSON request with the demo key. */
export function call(
  platform: Platform,
  path: string,
  body?: unknown,
  init: RequestInit = {},
): Promise<Response> {
  return fetch(platform.apiUrl + path, {
    method: body === undefined ? 'GET' : 'POST',
    ...init,
    headers: {
      authorization: `Bearer ${platform.apiKey}`,
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      ...(init.headers as Record<string, string> | undefined),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
}

export interface ReceiptView {
  status: string;
  charge: string;
  hold: string;
  pool: string;
  poolUsed: string | null;
  model: string | null;
  settledBy: string | null;
  promptTokens: number | null;
  completionTokens: number | null;
  priceVersion: number;
  corrected: boolean;
}

/** Waits until the reservation is in a terminal state. */
export async function receiptOf(
  platform: Platform,
  requestId: string,
  timeoutMs = 10_000,
): Promise<ReceiptView> {
  let receipt: ReceiptView | undefined;
  await waitFor(
    async () => {
      const response = await call(platform, `/api/v1/usage/${requestId}`);
      if (response.status !== 200) return false;
      receipt = (await response.json()) as ReceiptView;
      return receipt.status !== 'reserved' && receipt.status !== 'streaming';
    },
    { timeoutMs },
  );
  return receipt!;
}

/** Equations of the books that don't hold; empty when they balance. */
export async function drift(platform: Platform): Promise<string[]> {
  const { rows } = await platform.db.query<{ line: string }>(
    `SELECT equation || ': ' || drift_micro AS line FROM freeside.conservation_full WHERE drift_micro <> 0`,
  );
  return rows.map((row) => row.line);
}

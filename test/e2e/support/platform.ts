import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { createPool, withTransaction } from '@arrakis/postgres';
import {
  createTestDatabase,
  createTestNats,
  createTestRedis,
  findFreePort,
  spawnService,
  startFakeOpenAI,
  waitFor,
  type FakeOpenAI,
  type SpawnedService,
  type TestDatabase,
  type TestNats,
} from '@arrakis/testkit';
import type { Pool } from 'pg';
import { seedDemo } from '../../../scripts/lib/demo.ts';

const ROOT = resolve(import.meta.dirname, '../../..');
const PEPPER = `1:${randomBytes(32).toString('base64')}`;

export type ServiceName = 'finn' | 'api' | 'worker';

/** The whole system as real processes over their real ports; only the model vendor is a fake. */
export interface Platform {
  readonly apiUrl: string;
  readonly finnUrl: string;
  readonly adminUrls: Readonly<Record<ServiceName, string>>;
  readonly apiKey: string;
  readonly communityId: string;
  readonly vendor: FakeOpenAI;
  readonly nats: TestNats;
  readonly database: TestDatabase;
  /** As the owner of the schema. */
  readonly db: Pool;
  readonly services: Readonly<Record<ServiceName, SpawnedService>>;
  /** Starts a service again after it ended; same ports, same directories. */
  restart(name: ServiceName): Promise<SpawnedService>;
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

export async function startPlatform(): Promise<Platform> {
  const dir = await mkdtemp(join(tmpdir(), 'arrakis-e2e-'));
  const vendor = await startFakeOpenAI({
    models: Object.fromEntries(Object.values(MODELS).map((model) => [model, {}])),
  });
  const [database, redis, nats] = await Promise.all([
    createTestDatabase(),
    createTestRedis(),
    createTestNats(),
  ]);
  const poolsFile = await writePools(dir, vendor);
  const db = createPool({
    url: database.migratorUrl,
    max: 4,
    applicationName: 'e2e',
    onError: () => undefined,
  });
  const { communityId } = await withTransaction(db, seedDemo);

  const ports = await pickPorts();
  const url = (port: number) => `http://127.0.0.1:${String(port)}`;
  const common = { NODE_ENV: 'test', LOG_LEVEL: 'info', NATS_URL: nats.url };
  const freeside = {
    ...common,
    DATABASE_URL: database.appUrl,
    API_KEY_PEPPER: PEPPER,
    S2S_KEY_STORE_DIR: join(dir, 'keys'),
    FINN_URL: url(ports.finn),
    FREESIDE_PORT: String(ports.api),
    DRAIN_DEADLINE_MS: '20000',
  };
  const specs = {
    finn: {
      entry: join(ROOT, 'services/finn/src/main.ts'),
      args: [],
      readyUrl: `${url(ports.finnAdmin)}/readyz`,
      env: {
        ...common,
        DATABASE_URL: database.finnUrl,
        REDIS_URL: redis.url,
        FINN_PORT: String(ports.finn),
        FINN_ADMIN_PORT: String(ports.finnAdmin),
        JWKS_URL: `${url(ports.api)}/.well-known/jwks.json`,
        FINN_POOLS_FILE: poolsFile,
        FINN_SPOOL_DIR: join(dir, 'spool'),
        DRAIN_DEADLINE_MS: '20000',
        FAKE_VENDOR_KEY: vendor.apiKey,
      },
    },
    api: {
      entry: join(ROOT, 'services/freeside/src/main.ts'),
      args: ['api'],
      readyUrl: `${url(ports.apiAdmin)}/readyz`,
      env: { ...freeside, FREESIDE_ADMIN_PORT: String(ports.apiAdmin) },
    },
    worker: {
      entry: join(ROOT, 'services/freeside/src/main.ts'),
      args: ['worker'],
      readyUrl: `${url(ports.workerAdmin)}/readyz`,
      env: { ...freeside, FREESIDE_ADMIN_PORT: String(ports.workerAdmin) },
    },
  };

  const command = async (script: string, ...args: readonly string[]): Promise<string> => {
    const { stdout, stderr } = await promisify(execFile)(
      process.execPath,
      [join(ROOT, script), ...args],
      {
        env: {
          DATABASE_URL: database.migratorUrl,
          S2S_KEY_STORE_DIR: join(dir, 'keys'),
          API_KEY_PEPPER: PEPPER,
          PATH: process.env.PATH ?? '',
        },
      },
    );
    return stdout + stderr;
  };
  await command('scripts/keys/s2s.ts', 'bootstrap');
  const created = await command(
    'scripts/keys/api-key.ts',
    ...['create', '--community', 'demo', '--user', 'Demo Developer', '--json'],
    ...['--rpm', '10000', '--tpd', '100000000'],
  );
  const apiKey = /lf_live_[a-z2-7]{12}_[0-9A-Za-z]{32}/.exec(created)?.[0];
  if (apiKey === undefined) throw new Error(`no key in: ${created.slice(0, 200)}`);

  const api = await spawnService(specs.api);
  const [finn, worker] = await Promise.all([spawnService(specs.finn), spawnService(specs.worker)]);
  const services: Record<ServiceName, SpawnedService> = { finn, api, worker };

  return {
    apiUrl: url(ports.api),
    finnUrl: url(ports.finn),
    adminUrls: {
      finn: url(ports.finnAdmin),
      api: url(ports.apiAdmin),
      worker: url(ports.workerAdmin),
    },
    apiKey,
    communityId,
    vendor,
    nats,
    database,
    db,
    services,
    command,
    async restart(name) {
      services[name] = await spawnService(specs[name]);
      return services[name];
    },
    async stop() {
      await Promise.all(Object.values(services).map((service) => service.stop()));
      await vendor.close();
      await db.end();
      await Promise.all([database.drop(), redis.drop(), nats.drop()]);
      await rm(dir, { recursive: true, force: true });
    },
  };
}

async function pickPorts() {
  const ports = [];
  for (let index = 0; index < 5; index += 1) ports.push(await findFreePort());
  const [api, apiAdmin, finn, finnAdmin, workerAdmin] = ports;
  return {
    api: api!,
    apiAdmin: apiAdmin!,
    finn: finn!,
    finnAdmin: finnAdmin!,
    workerAdmin: workerAdmin!,
  };
}

async function writePools(dir: string, vendor: FakeOpenAI): Promise<string> {
  const file = join(dir, 'pools.json');
  const pools = Object.fromEntries(
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
  await writeFile(file, JSON.stringify({ pools }));
  return file;
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

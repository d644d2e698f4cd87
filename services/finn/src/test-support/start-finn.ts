import { mkdtemp, rm } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { INFERENCE_PATH, POOLS, USAGE_STREAM, type UsageEvent } from '@arrakis/contracts';
import { createPool } from '@arrakis/postgres';
import { createLifecycle, createLogger, Secret, type Logger } from '@arrakis/service-kit';
import {
  createTestDatabase,
  createTestNats,
  createTestRedis,
  generateSigningKey,
  signServiceToken,
  startFakeOpenAI,
  waitFor,
  type FakeOpenAI,
  type SigningKey,
  type TestTokenOptions,
} from '@arrakis/testkit';
import { connect } from '@nats-io/transport-node';
import { request, type Dispatcher } from 'undici';
import { buildApp } from '../app.ts';
import type { FinnConfig } from '../config/config.ts';
import { createContext, type FinnContext } from '../context.ts';
import { parsePoolFile, type TargetEntry } from '../features/pools/pool-file.domain.ts';
import { startFakeJwks, type FakeJwks } from './fake-jwks.ts';

export const COMMUNITY_ID = '00000000-0000-7000-8000-000000000001';
const OTHER_COMMUNITY_ID = '00000000-0000-7000-8000-000000000002';
const CONTRACT = '0x00000000000000000000000000000000000000aa';
/** Of the community, stoic; of the community, playful; of the other community. */
export const NFTS = {
  stoic: `1:${CONTRACT}:1`,
  playful: `1:${CONTRACT}:2`,
  foreign: `1:${CONTRACT}:3`,
  inactive: `1:${CONTRACT}:4`,
} as const;
export const MODEL = 'fake-model';

type TargetsFor = (vendor: FakeOpenAI) => Record<(typeof POOLS)[number], TargetEntry[]>;

export interface StartFinnOptions {
  readonly targets?: TargetsFor;
  readonly redisUrl?: (url: string) => Promise<string>;
  readonly totalTimeoutMs?: number;
  readonly idleTimeoutMs?: number;
  readonly spoolMaxBytes?: number;
  readonly modelDir?: string;
  /** By reference, beside `env:KEY`, which is the fake vendor's. */
  readonly apiKeys?: Readonly<Record<string, string>>;
}

export interface TestFinn {
  readonly url: string;
  readonly key: SigningKey;
  readonly jwks: FakeJwks;
  readonly vendor: FakeOpenAI;
  readonly context: FinnContext;
  readonly lines: Record<string, unknown>[];
  token(options?: TestTokenOptions): Promise<string>;
  /** Posts with a fresh token, unless one is given. */
  infer(
    body: unknown,
    options?: { token?: string; claims?: Record<string, unknown>; signal?: AbortSignal },
  ): Promise<Dispatcher.ResponseData>;
  /** The usage event of a reservation, once JetStream has it. */
  usageOf(reservationId: string): Promise<UsageEvent>;
  readonly usageEvents: readonly UsageEvent[];
  /** Value of a series in the registry; 0 when there is none. */
  metric(name: string, labels?: Record<string, string>): Promise<number>;
  close(): Promise<void>;
}

/** A target that is the fake vendor. */
export function vendorTarget(vendor: FakeOpenAI, name: string, model = MODEL): TargetEntry {
  return { name, provider: 'openai-compatible', model, baseUrl: vendor.baseUrl, apiKey: 'env:KEY' };
}

const allPoolsAlike: TargetsFor = (vendor) =>
  Object.fromEntries(
    POOLS.map((pool) => [pool, [vendorTarget(vendor, `vendor-${pool}`)]]),
  ) as ReturnType<TargetsFor>;

/** What finn stands on: real backends, a fake vendor and a fake of freeside's key set. */
export async function startSurroundings() {
  const [database, redis, nats, vendor, spoolDir] = await Promise.all([
    createTestDatabase(),
    createTestRedis(),
    createTestNats(),
    startFakeOpenAI({ models: { [MODEL]: {} } }),
    mkdtemp(join(tmpdir(), 'finn-spool-')),
  ]);
  await seed(database.adminUrl);
  const key = generateSigningKey();
  const jwks = await startFakeJwks([{ ...key.publicJwk, issuer: 'loa-freeside' }]);
  const usage = await listenForUsage(nats.url);
  const close = async (): Promise<void> => {
    await usage.close();
    await Promise.all([vendor.close(), jwks.close(), database.drop(), redis.drop(), nats.drop()]);
    await rm(spoolDir, { recursive: true, force: true });
  };
  return { database, redis, nats, vendor, spoolDir, key, jwks, usage, close };
}
export type Surroundings = Awaited<ReturnType<typeof startSurroundings>>;

function configOf({ jwks, vendor, spoolDir }: Surroundings, options: StartFinnOptions): FinnConfig {
  const targets = (options.targets ?? allPoolsAlike)(vendor);
  return {
    logLevel: 'info',
    http: { host: '127.0.0.1', port: 0 },
    admin: { host: '127.0.0.1', port: 0 },
    databasePoolMax: 2,
    jwksUrl: jwks.url,
    flagsDir: undefined,
    natsStreamReplicas: 1,
    pools: parsePoolFile({
      pools: Object.fromEntries(POOLS.map((pool) => [pool, { targets: targets[pool] }])),
    }),
    spool: { dir: spoolDir, maxBytes: options.spoolMaxBytes ?? 1024 * 1024 },
    modelDir: options.modelDir ?? spoolDir,
    provider: {
      totalTimeoutMs: options.totalTimeoutMs ?? 10_000,
      idleTimeoutMs: options.idleTimeoutMs ?? 5_000,
    },
    drain: { announceMs: 0, deadlineMs: 5_000 },
    tracing: { endpoint: undefined, sampleRatio: 0 },
  };
}

function loggerInto(lines: Record<string, unknown>[]): Logger {
  const write = (line: string): void =>
    void lines.push(JSON.parse(line) as Record<string, unknown>);
  return createLogger({ service: 'finn', level: 'info', destination: { write } });
}

/** The whole of finn on a free port. */
export async function startFinn(options: StartFinnOptions = {}): Promise<TestFinn> {
  const around = await startSurroundings();
  const { database, redis, nats, vendor, key, jwks, usage } = around;
  const config = configOf(around, options);
  const secrets = {
    databaseUrl: new Secret(database.finnUrl),
    redisUrl: new Secret((await options.redisUrl?.(redis.url)) ?? redis.url),
    natsUrl: new Secret(nats.url),
    apiKeys: new Map(
      Object.entries({ 'env:KEY': vendor.apiKey, ...options.apiKeys }).map(([name, value]) => [
        name,
        new Secret(value),
      ]),
    ),
  };
  const lines: Record<string, unknown>[] = [];
  const context = await createContext(config, secrets, loggerInto(lines), createLifecycle());
  const natsConnected = async () =>
    (await context.registry.getSingleMetricAsString('finn_nats_connected')).endsWith(' 1');
  await waitFor(natsConnected, { what: 'NATS connected' });
  const app = await buildApp(context);
  await app.listen(config.http);
  const url = `http://127.0.0.1:${(app.server.address() as AddressInfo).port}`;

  const token = (given: TestTokenOptions = {}): Promise<string> =>
    signServiceToken(key, {
      ...given,
      claims: { community_id: COMMUNITY_ID, nft_id: NFTS.stoic, ...given.claims },
    });
  return {
    url,
    key,
    jwks,
    vendor,
    context,
    lines,
    token,
    infer: async (body, { token: given, claims = {}, signal } = {}) =>
      request(`${url}${INFERENCE_PATH}`, {
        method: 'POST',
        headers: {
          authorization: `Bearer ${given ?? (await token({ claims }))}`,
          'content-type': 'application/json',
        },
        body: typeof body === 'string' ? body : JSON.stringify(body),
        signal: signal ?? null,
      }),
    usageOf: (reservationId) =>
      waitFor(() => usage.events.find((event) => event.budget_reservation_id === reservationId)),
    usageEvents: usage.events,
    metric: (name, labels = {}) => readMetric(context, name, labels),
    async close() {
      await context.close();
      await app.close();
      await around.close();
    },
  };
}

async function listenForUsage(
  url: string,
): Promise<{ events: UsageEvent[]; close: () => Promise<void> }> {
  const parsed = new URL(url);
  const user = decodeURIComponent(parsed.username);
  const pass = decodeURIComponent(parsed.password);
  const connection = await connect({
    servers: parsed.host,
    ...(user === '' ? {} : pass === '' ? { token: user } : { user, pass }),
  });
  const events: UsageEvent[] = [];
  connection.subscribe(USAGE_STREAM.subject, {
    callback: (error, message) => {
      if (error === null) events.push(message.json<UsageEvent>());
    },
  });
  await connection.flush();
  return { events, close: () => connection.close() };
}

async function readMetric(
  context: FinnContext,
  name: string,
  labels: Record<string, string>,
): Promise<number> {
  const metric = await context.registry.getSingleMetric(name.replace(/_count$/, ''))?.get();
  const series = metric?.values.find(
    (value) =>
      ('metricName' in value ? value.metricName === name : true) &&
      Object.entries(labels).every(([label, wanted]) => String(value.labels[label]) === wanted),
  );
  return series?.value ?? 0;
}

async function seed(adminUrl: string): Promise<void> {
  const db = createPool({
    url: adminUrl,
    max: 1,
    applicationName: 'seed',
    onError: () => undefined,
  });
  await db.query(
    `INSERT INTO freeside.communities (id, slug, name, tier)
     VALUES ($1, 'dunes', 'Dunes', 'enterprise'), ($2, 'other', 'Other', 'enterprise')`,
    [COMMUNITY_ID, OTHER_COMMUNITY_ID],
  );
  await db.query(
    `INSERT INTO freeside.nfts (id, community_id, slug, tier, is_active)
     VALUES ($1, $5, 'stoic', 'enterprise', true), ($2, $5, 'playful', 'free', true),
            ($3, $6, 'foreign', 'free', true), ($4, $5, 'inactive', 'free', false)`,
    [...Object.values(NFTS), COMMUNITY_ID, OTHER_COMMUNITY_ID],
  );
  const metadata = (name: string, mood: string): string =>
    JSON.stringify({ name, attributes: [{ trait_type: 'Mood', value: mood }] });
  await db.query(`INSERT INTO freeside.nft_metadata (nft_id, metadata) VALUES ($1, $2), ($3, $4)`, [
    NFTS.stoic,
    metadata('Muad', 'stoic'),
    NFTS.playful,
    metadata('Fenring', 'playful'),
  ]);
  await db.query(`INSERT INTO freeside.personality_configs (nft_id, emphasis) VALUES ($1, $2)`, [
    NFTS.stoic,
    ['patience'],
  ]);
  await db.end();
}

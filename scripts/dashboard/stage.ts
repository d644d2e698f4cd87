import { generateKeyPairSync } from 'node:crypto';
import { appendFile, chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createPool, withTransaction } from '@arrakis/postgres';
import {
  createTestDatabase,
  startFakeNowPayments,
  startFakeOpenAI,
  startOwnBackends,
  startPrometheus,
  startReaper,
  type FakeNowPayments,
  type FakeOpenAI,
} from '@arrakis/testkit';
import type { Pool } from 'pg';
import { writeScrapeConfig } from '../../test/observability/support/scrape-config.ts';
import {
  createSystem,
  type ServiceKind,
  type System,
  type SystemOptions,
} from '../../test/support/system.ts';
import { seedDemo } from '../lib/demo.ts';
import { exposeController } from './controller.ts';

export const POOLS = ['cheap', 'standard', 'reasoning', 'architect', 'flagship'] as const;

const PAYMENTS_KEY = 'picture';
/** Signs the notices that the play posts. */
export const IPN_SECRET = 'picture-secret';

/** The whole system with a Prometheus that scrapes it, and a vendor that does as it is told. */
export interface Stage {
  readonly system: System;
  readonly apiUrl: string;
  readonly apiKey: string;
  readonly vendor: FakeOpenAI;
  readonly shop: FakeNowPayments;
  /** As the owner of the schema. */
  readonly db: Pool;
  readonly prometheusUrl: string;
}

/** Sets everything up, plays, and takes everything down however the play ends. */
export async function onStage<Result>(play: (stage: Stage) => Promise<Result>): Promise<Result> {
  const runDir = await mkdtemp(join(tmpdir(), 'arrakis-picture-'));
  // PostgreSQL's own user passes through.
  await chmod(runDir, 0o711);
  const reaper = startReaper(runDir);
  const ends: (() => Promise<unknown>)[] = [];
  try {
    return await play(await setUp(runDir, (end) => ends.unshift(end)));
  } finally {
    for (const end of ends) await end().catch(() => undefined);
    await reaper.dismiss();
    await rm(runDir, { recursive: true, force: true });
  }
}

async function setUp(
  runDir: string,
  atTheEnd: (end: () => Promise<unknown>) => void,
): Promise<Stage> {
  const onStarted = (server: { stop(): Promise<void> }): void => atTheEnd(() => server.stop());
  const backends = await startOwnBackends({ runDir, durable: true, onStarted });
  const database = await createTestDatabase(backends);
  const vendor = await startFakeOpenAI({
    models: Object.fromEntries(POOLS.map((pool) => [`fake-${pool}`, {}])),
  });
  atTheEnd(() => vendor.close());
  const shop = await startFakeNowPayments({ apiKey: PAYMENTS_KEY, ipnSecret: IPN_SECRET });
  atTheEnd(() => shop.close());
  const onError = (): void => undefined;
  const db = createPool({ url: database.migratorUrl, max: 2, applicationName: 'picture', onError });
  atTheEnd(() => db.end());
  await withTransaction(db, seedDemo);
  const system = await createSystem({
    dir: runDir,
    database,
    redisUrl: backends.redisUrl,
    natsUrl: backends.natsUrl,
    pools: poolsAt(vendor.baseUrl),
    vendorKey: vendor.apiKey,
    env: await paymentsAt(shop.url, runDir),
  });
  atTheEnd(() => system.stop());
  const apiKey = await system.createApiKey('demo');
  await system.start();
  const configFile = await writeScrapeConfig(runDir, adminUrls(system));
  const controller = await exposeController();
  atTheEnd(() => controller.close());
  await appendFile(
    configFile,
    `\n  - job_name: controller\n    static_configs: [{ targets: ['${controller.address}'] }]\n`,
  );
  const prometheus = await startPrometheus({ dir: join(runDir, 'prometheus'), configFile });
  atTheEnd(() => prometheus.stop());
  const api = system.members.find(({ kind }) => kind === 'api');
  const apiUrl = api?.url ?? '';
  return { system, apiUrl, apiKey, vendor, shop, db, prometheusUrl: prometheus.url };
}

/** The sale and a key for the audit trail; notices are posted by the play, so nobody has to reach the api. */
async function paymentsAt(
  vendorUrl: string,
  dir: string,
): Promise<NonNullable<SystemOptions['env']>> {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const keyFile = join(dir, 'audit-key.pem');
  await writeFile(keyFile, privateKey.export({ format: 'pem', type: 'pkcs8' }), { mode: 0o600 });
  const sale = {
    NOWPAYMENTS_API_KEY: PAYMENTS_KEY,
    NOWPAYMENTS_IPN_SECRET: IPN_SECRET,
    NOWPAYMENTS_BASE_URL: vendorUrl,
    FREESIDE_PUBLIC_URL: 'http://127.0.0.1:9',
  };
  return { api: sale, worker: { ...sale, AUDIT_SIGNING_KEY_FILE: keyFile } };
}

function adminUrls(system: System): Record<ServiceKind, string> {
  const urlOf = (kind: ServiceKind): string =>
    system.members.find((member) => member.kind === kind)?.adminUrl ?? '';
  return { api: urlOf('api'), worker: urlOf('worker'), finn: urlOf('finn') };
}

function poolsAt(baseUrl: string): Record<string, { targets: object[] }> {
  const entries = POOLS.map((pool) => {
    const provider = { provider: 'openai-compatible', baseUrl, apiKey: 'env:FAKE_VENDOR_KEY' };
    return [pool, { targets: [{ name: `vendor-${pool}`, model: `fake-${pool}`, ...provider }] }];
  });
  return Object.fromEntries(entries) as Record<string, { targets: object[] }>;
}

import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createPool, withTransaction } from '@arrakis/postgres';
import {
  createTestDatabase,
  startFakeOpenAI,
  startOwnBackends,
  startPrometheus,
  startReaper,
  type FakeOpenAI,
} from '@arrakis/testkit';
import type { Pool } from 'pg';
import { writeScrapeConfig } from '../../test/observability/support/scrape-config.ts';
import { createSystem, type ServiceKind, type System } from '../../test/support/system.ts';
import { seedDemo } from '../lib/demo.ts';

export const POOLS = ['cheap', 'standard', 'reasoning', 'architect', 'flagship'] as const;

/** The whole system with a Prometheus that scrapes it, and a vendor that does as it is told. */
export interface Stage {
  readonly system: System;
  readonly apiUrl: string;
  readonly apiKey: string;
  readonly vendor: FakeOpenAI;
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
  });
  atTheEnd(() => system.stop());
  const apiKey = await system.createApiKey('demo');
  await system.start();
  const configFile = await writeScrapeConfig(runDir, adminUrls(system));
  const prometheus = await startPrometheus({ dir: join(runDir, 'prometheus'), configFile });
  atTheEnd(() => prometheus.stop());
  const api = system.members.find(({ kind }) => kind === 'api');
  return { system, apiUrl: api?.url ?? '', apiKey, vendor, db, prometheusUrl: prometheus.url };
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

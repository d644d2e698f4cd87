import { generateKeyPairSync } from 'node:crypto';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { createPool } from '@arrakis/postgres';
import { createLogger, createRegistry } from '@arrakis/service-kit';
import { createTestDatabase } from '@arrakis/testkit';
import type { Pool } from 'pg';
import { auditJobs } from '../../../services/freeside/src/features/audit/audit.job.ts';
import { CheckpointSigner } from '../../../services/freeside/src/features/audit/checkpoint-signer.ts';
import { createAuditEvents } from '../../../services/freeside/src/features/audit/events.ts';
import { AuditService } from '../../../services/freeside/src/features/audit/service.ts';
import { openAccount } from '../ledger/open-account.ts';
import type { LedgerLoad, LedgerResult } from '../ledger/protocol.ts';
import { LoadProcess } from '../lib/load-process.ts';
import type { MeterReading } from '../lib/meter.ts';
import { medians, type Metrics } from '../report/row.ts';
import type { PaymentsBench, Result } from './bench.ts';

type Shape =
  | { readonly kind: 'open'; readonly perSecond: number }
  | { readonly kind: 'closed'; readonly callers: number };

const SETTINGS: readonly { readonly name: string; readonly shape: Shape }[] = [
  { name: '500 pairs/s', shape: { kind: 'open', perSecond: 500 } },
  { name: '2,000 pairs/s', shape: { kind: 'open', perSecond: 2_000 } },
  { name: '64 callers, no pause', shape: { kind: 'closed', callers: 64 } },
];
const MODES = ['unsealed', 'sealed'] as const;
type Mode = (typeof MODES)[number];

/**
 * What the audit trail costs those who hold and settle: the same load by turns without a sealer and
 * with one that seals, checks and signs as the worker does, against the same PostgreSQL.
 */
export async function measureSealing(bench: PaymentsBench): Promise<Result[]> {
  const database = await createTestDatabase(bench.backends);
  const url = database.appUrl;
  const db = createPool({ url, max: 3, applicationName: 'sealer', onError: () => undefined });
  const loader = new LoadProcess<LedgerLoad, LedgerResult>(
    join(import.meta.dirname, '../ledger-load.ts'),
  );
  try {
    const account = await openAccount(database.migratorUrl);
    const sealer = new Sealer(db);
    const found = new Map<string, Metrics[]>();
    for (let round = 0; round < bench.rounds; round += 1) {
      for (const { name, shape } of SETTINGS) {
        // Who comes second finds a larger table: so they take turns in that too.
        for (const mode of round % 2 === 0 ? MODES : MODES.toReversed()) {
          const times = { warmUpMs: 1_000, durationMs: 4_000 * bench.scale };
          const load = { ...shape, databaseUrl: url, account, ...times };
          const metrics = await measureOne(bench, { sealer, loader, load, mode });
          const setting = `${name}, ${mode}`;
          found.set(setting, [...(found.get(setting) ?? []), metrics]);
          bench.progress(`sealing ${round + 1}/${bench.rounds}  ${setting}: ${brief(metrics)}`);
        }
      }
    }
    return [...found].map(([setting, rounds]) => ({ setting, metrics: medians(rounds), rounds }));
  } finally {
    loader.stop();
    await db.end();
    await database.drop();
  }
}

interface Measurement {
  readonly sealer: Sealer;
  readonly loader: LoadProcess<LedgerLoad, LedgerResult>;
  readonly load: LedgerLoad;
  readonly mode: Mode;
}

async function measureOne(
  bench: PaymentsBench,
  { sealer, loader, load, mode }: Measurement,
): Promise<Metrics> {
  // Everybody begins with nothing to seal.
  await sealer.catchUp();
  const groups = { postgres: bench.backends.postgres.pid };
  const stop = mode === 'sealed' ? sealer.start() : () => Promise.resolve();
  const before = process.cpuUsage();
  const result = await loader.run(load, groups, 0);
  const { user, system } = process.cpuUsage(before);
  await stop();
  return metricsOf(result, (user + system) / result.pairs);
}

/** Runs the jobs of the worker, at the worker's pace, in this process. */
class Sealer {
  readonly #audit: AuditService;

  constructor(db: Pool) {
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const logger = createLogger({ service: 'bench', level: 'silent' });
    this.#audit = new AuditService({
      db,
      events: createAuditEvents(createRegistry('bench'), logger),
      signer: new CheckpointSigner(privateKey),
    });
  }

  async catchUp(): Promise<void> {
    while ((await this.#audit.seal()) > 0);
    while ((await this.#audit.check()) > 0);
  }

  /** @returns how to stop; resolves when the last run is over. */
  start(): () => Promise<unknown> {
    const stop = new AbortController();
    const jobs = auditJobs(this.#audit).map(async ({ run, everyMs }) => {
      while (!stop.signal.aborted) {
        await run();
        await pause(everyMs, undefined, { signal: stop.signal }).catch(() => undefined);
      }
    });
    return () => {
      stop.abort();
      return Promise.all(jobs);
    };
  }
}

function metricsOf(result: LedgerResult & MeterReading, workerMicros: number): Metrics {
  const { pairs, elapsedMs, hold, pair, cpuMs, othersPercent } = result;
  const micros = (name: string): number => ((cpuMs[name] ?? 0) * 1000) / pairs;
  return {
    perSecond: (pairs * 1000) / elapsedMs,
    holdP50Ms: hold.p50Ms,
    holdP99Ms: hold.p99Ms,
    pairP50Ms: pair.p50Ms,
    pairP99Ms: pair.p99Ms,
    'cpu/postgresMicros': micros('postgres'),
    'cpu/apiMicros': micros('generator'),
    'cpu/workerMicros': workerMicros,
    othersPercent,
  };
}

function brief(metrics: Metrics): string {
  const show = (name: string, digits = 1): string => (metrics[name] ?? Number.NaN).toFixed(digits);
  return (
    `${show('perSecond', 0)} pairs/s, hold p50 ${show('holdP50Ms')} p99 ${show('holdP99Ms')} ms, ` +
    `pair p99 ${show('pairP99Ms')} ms, CPU postgres ${show('cpu/postgresMicros', 0)} worker ${show('cpu/workerMicros', 0)} us`
  );
}

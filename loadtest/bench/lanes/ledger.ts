import { join } from 'node:path';
import { createTestDatabase, type OwnBackends } from '@arrakis/testkit';
import { openAccount } from '../ledger/open-account.ts';
import type { LedgerLoad, LedgerResult } from '../ledger/protocol.ts';
import { LoadProcess } from '../lib/load-process.ts';
import type { MeterReading } from '../lib/meter.ts';
import { medians, type LaneName, type Metrics, type Row } from '../report/row.ts';
import type { Bench, Lane } from './lane.ts';

const CALLERS = [1, 16, 64, 256] as const;
const WARM_UP_MS = 1_000;
export const PAIRS_SETTING = '10000 pairs/s';
export const callersSetting = (callers: number): string =>
  callers === 1 ? '1 caller' : `${callers} callers`;

type Ask = (load: LedgerLoad) => Promise<LedgerResult & MeterReading>;
type Shape =
  | { readonly kind: 'closed'; readonly callers: number }
  | { readonly kind: 'open'; readonly perSecond: number };

interface Setting {
  readonly lane: LaneName;
  readonly name: string;
  readonly shape: Shape;
}

const SETTINGS: readonly Setting[] = [
  ...CALLERS.map((callers): Setting => ({
    lane: 'ledger-closed',
    name: callersSetting(callers),
    shape: { kind: 'closed', callers },
  })),
  { lane: 'ledger-open', name: PAIRS_SETTING, shape: { kind: 'open', perSecond: 10_000 } },
];

type LedgerBench = Pick<Bench, 'rounds' | 'scale' | 'progress'> & {
  readonly backends: OwnBackends;
};

/** Holds and settlements on one account, in a database that begins empty. */
export async function measureLedger(bench: LedgerBench): Promise<Row[]> {
  const database = await createTestDatabase(bench.backends);
  const loader = new LoadProcess<LedgerLoad, LedgerResult>(
    join(import.meta.dirname, '../ledger-load.ts'),
  );
  try {
    const account = await openAccount(database.migratorUrl);
    const groups = { postgres: bench.backends.postgres.pid };
    const ask: Ask = (load) => loader.run(load, groups, 0);
    const found = new Map<Setting, Metrics[]>(SETTINGS.map((setting) => [setting, []]));
    for (let round = 0; round < bench.rounds; round += 1) {
      for (const setting of SETTINGS) {
        const durationMs = 4_000 * bench.scale;
        const times = { warmUpMs: WARM_UP_MS, durationMs };
        const load = { ...setting.shape, databaseUrl: database.appUrl, account, ...times };
        const metrics = metricsOf(await ask(load));
        found.get(setting)?.push(metrics);
        bench.progress(
          `${setting.lane} ${round + 1}/${bench.rounds}  ${setting.name}: ${brief(metrics)}`,
        );
      }
    }
    return [...found].map(([{ lane, name }, rounds]) => ({
      lane,
      setting: name,
      contestant: 'arrakis',
      metrics: medians(rounds),
      rounds,
    }));
  } finally {
    loader.stop();
    await database.drop();
  }
}

export const ledger: Lane = (bench) => measureLedger(bench);

function metricsOf(result: LedgerResult & MeterReading): Metrics {
  const micros = (name: string): number => ((result.cpuMs[name] ?? 0) * 1000) / result.pairs;
  return {
    perSecond: (result.pairs * 1000) / result.elapsedMs,
    latencyP50Ms: result.hold.p50Ms,
    latencyP99Ms: result.hold.p99Ms,
    pairP50Ms: result.pair.p50Ms,
    pairP99Ms: result.pair.p99Ms,
    cpuMicros: micros('postgres') + micros('generator'),
    'cpu/postgresMicros': micros('postgres'),
    'cpu/apiMicros': micros('generator'),
    othersPercent: result.othersPercent,
  };
}

function brief(metrics: Metrics): string {
  const show = (name: string, digits = 1): string => (metrics[name] ?? 0).toFixed(digits);
  return (
    `${show('perSecond', 0)} pairs/s, hold p50 ${show('latencyP50Ms')} p99 ${show('latencyP99Ms')} ms, ` +
    `pair p99 ${show('pairP99Ms')} ms, CPU ${show('cpuMicros')} us, others ${show('othersPercent', 0)} %`
  );
}

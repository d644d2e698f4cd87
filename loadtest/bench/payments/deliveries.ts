import { join } from 'node:path';
import type { OwnBackends } from '@arrakis/testkit';
import { startOurs, type Ours } from '../contestants/ours.ts';
import { startProvider } from '../contestants/provider.ts';
import { LoadProcess } from '../lib/load-process.ts';
import type { MeterReading } from '../lib/meter.ts';
import { medians, type Metrics } from '../report/row.ts';
import type { PaymentsBench, Result } from './bench.ts';
import type { DeliveriesLoad, DeliveriesResult, Shape } from './protocol.ts';

const IPN_SECRET = 'bench-ipn-secret';
const PER_SECOND = 200;
const REPEATS = 0.3;
const OPEN: Shape = { kind: 'open', perSecond: PER_SECOND };
const CLOSED: Shape = { kind: 'closed', connections: 16 };
export const GOAL_SETTING = '200/s, 30 % repeats, one community';

interface Setting {
  readonly name: string;
  readonly sends: DeliveriesLoad['sends'];
  readonly shape: Shape;
  readonly communities: number;
  readonly durationMs: number;
}

const SETTINGS: readonly Setting[] = [
  { name: GOAL_SETTING, sends: 'finished', shape: OPEN, communities: 1, durationMs: 10_000 },
  {
    ...{ name: '200/s, 30 % repeats, 50 communities', sends: 'finished', shape: OPEN },
    ...{ communities: 50, durationMs: 4_000 },
  },
  {
    ...{ name: '200/s, forged: no database', sends: 'forged', shape: OPEN },
    ...{ communities: 1, durationMs: 3_000 },
  },
  {
    ...{ name: '200/s, one row committed: no service', sends: 'row', shape: OPEN },
    ...{ communities: 1, durationMs: 3_000 },
  },
  {
    ...{ name: '16 senders, 30 % repeats, one community', sends: 'finished', shape: CLOSED },
    ...{ communities: 1, durationMs: 4_000 },
  },
  {
    ...{ name: '16 senders, 30 % repeats, 50 communities', sends: 'finished', shape: CLOSED },
    ...{ communities: 50, durationMs: 4_000 },
  },
];

/** From a notice of the vendor to the commit of its credits, over the real processes. */
export async function measureDeliveries(bench: PaymentsBench): Promise<Result[]> {
  const provider = await startProvider();
  const loader = new LoadProcess<DeliveriesLoad, DeliveriesResult>(
    join(import.meta.dirname, '../payments-load.ts'),
  );
  let ours: Ours | undefined;
  try {
    ours = await startOurs({
      name: 'arrakis',
      providerBaseUrl: provider.baseUrl,
      backends: bench.backends,
      env: { api: { NOWPAYMENTS_IPN_SECRET: IPN_SECRET, ...bench.apiEnv } },
    });
    return await inTurns(bench, ours, loader);
  } finally {
    loader.stop();
    await ours?.stop();
    await provider.stop();
  }
}

async function inTurns(
  bench: PaymentsBench,
  ours: Ours,
  loader: LoadProcess<DeliveriesLoad, DeliveriesResult>,
): Promise<Result[]> {
  const found = new Map<Setting, Metrics[]>(SETTINGS.map((setting) => [setting, []]));
  for (let round = 0; round < bench.rounds; round += 1) {
    for (const setting of SETTINGS) {
      const load = loadOf(setting, ours, bench);
      const groups = { api: ours.processes.api ?? 0, postgres: postgresOf(bench.backends) };
      const metrics = metricsOf(await loader.run(load, groups, 0));
      found.get(setting)?.push(metrics);
      bench.progress(`deliveries ${round + 1}/${bench.rounds}  ${setting.name}: ${brief(metrics)}`);
    }
  }
  return [...found].map(([{ name }, rounds]) => ({
    setting: name,
    metrics: medians(rounds),
    rounds,
  }));
}

const postgresOf = (backends: OwnBackends): number => backends.postgres.pid;

function loadOf(setting: Setting, ours: Ours, bench: PaymentsBench): DeliveriesLoad {
  const { sends, shape, communities, durationMs } = setting;
  return {
    ...{ sends, shape, communities, repeats: REPEATS },
    origin: ours.target.origin,
    ipnSecret: IPN_SECRET,
    migratorUrl: ours.database.migratorUrl,
    appUrl: ours.database.appUrl,
    warmUpMs: 1_000,
    durationMs: durationMs * bench.scale,
  };
}

function metricsOf(result: DeliveriesResult & MeterReading): Metrics {
  const { deliveries, elapsedMs, credited, others, lateness, cpuMs, othersPercent } = result;
  const micros = (name: string): number => ((cpuMs[name] ?? 0) * 1000) / deliveries;
  return {
    perSecond: (deliveries * 1000) / elapsedMs,
    ...(credited.count === 0
      ? {}
      : { creditedP50Ms: credited.p50Ms, creditedP99Ms: credited.p99Ms, maxMs: credited.maxMs }),
    othersP50Ms: others.p50Ms,
    othersP99Ms: others.p99Ms,
    latenessP99Ms: lateness.p99Ms,
    'cpu/apiMicros': micros('api'),
    'cpu/postgresMicros': micros('postgres'),
    'cpu/generatorMicros': micros('generator'),
    othersPercent,
  };
}

function brief(metrics: Metrics): string {
  const show = (name: string, digits = 1): string => (metrics[name] ?? Number.NaN).toFixed(digits);
  return (
    `${show('perSecond', 0)}/s, credited p50 ${show('creditedP50Ms')} p99 ${show('creditedP99Ms')} ms, ` +
    `others p50 ${show('othersP50Ms')} p99 ${show('othersP99Ms')} ms, ` +
    `CPU api ${show('cpu/apiMicros', 0)} postgres ${show('cpu/postgresMicros', 0)} us`
  );
}

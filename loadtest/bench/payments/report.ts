import { formatNumber, type Table } from '../report/tables.ts';
import type { Result } from './bench.ts';
import { GOAL_SETTING } from './deliveries.ts';
import { VERIFIER_SETTING } from './verifier.ts';

export interface PaymentsResults {
  readonly deliveries: readonly Result[];
  readonly verifier: readonly Result[];
  readonly sealing: readonly Result[];
}

type Column = readonly [title: string, metric: string];

const CPU: readonly Column[] = [
  ['api CPU µs', 'cpu/apiMicros'],
  ['postgres CPU µs', 'cpu/postgresMicros'],
];
const NOISE: Column = ['others %', 'othersPercent'];

const DELIVERIES: readonly Column[] = [
  ['a second', 'perSecond'],
  ['credited p50 ms', 'creditedP50Ms'],
  ['p99 ms', 'creditedP99Ms'],
  ['max ms', 'maxMs'],
  ['others p50 ms', 'othersP50Ms'],
  ['p99 ms', 'othersP99Ms'],
  ...CPU,
  NOISE,
];
const VERIFIER: readonly Column[] = [
  ['records a second', 'perSecond'],
  ['MiB a second', 'mibPerSecond'],
  ['ms in all', 'elapsedMs'],
];
const SEALING: readonly Column[] = [
  ['pairs a second', 'perSecond'],
  ['hold p50 ms', 'holdP50Ms'],
  ['p99 ms', 'holdP99Ms'],
  ['settled p50 ms', 'pairP50Ms'],
  ['p99 ms', 'pairP99Ms'],
  ...CPU,
  ['worker CPU µs', 'cpu/workerMicros'],
  NOISE,
];

const GOALS = [
  {
    text: 'webhook to committed credits, 200 deliveries/s with 30 % repeats, p99',
    limit: 'at most 50 ms',
    of: ({ deliveries }: PaymentsResults) => metric(deliveries, GOAL_SETTING, 'creditedP99Ms'),
    isMet: (measured: number) => measured <= 50,
    unit: 'ms',
  },
  {
    text: 'audit verifier',
    limit: 'at least 200,000 records/s',
    of: ({ verifier }: PaymentsResults) => metric(verifier, VERIFIER_SETTING, 'perSecond'),
    isMet: (measured: number) => measured >= 200_000,
    unit: 'records/s',
  },
] as const;

export function tablesOf(results: PaymentsResults): Table[] {
  return [
    goalTable(results),
    {
      ...table('Notices of the vendor', DELIVERIES, results.deliveries),
      note: 'From the moment at which a notice was due until its answer, which comes after the commit. `credited` are those that minted a pack, `others` repeats, forged posts and bare rows. CPU of each process per delivery.',
    },
    {
      ...table('Audit verifier', VERIFIER, results.verifier),
      note: 'The command from its start to its end, reading a file, every signature checked, one core.',
    },
    {
      ...table('Holds and settlements with and without the audit trail', SEALING, results.sealing),
      note: 'The same load by turns; `sealed` is with the worker’s jobs that seal, check and sign at the same time. CPU of each process per pair.',
    },
  ].filter(({ body }) => body.length > 0);
}

function goalTable(results: PaymentsResults): Table {
  return {
    title: 'Goals',
    head: ['', '', 'measured', ''],
    body: GOALS.flatMap(({ text, limit, of, isMet, unit }) => {
      const measured = of(results);
      if (measured === undefined) return [];
      return [
        [text, limit, `${formatNumber(measured)} ${unit}`, isMet(measured) ? 'met' : 'missed'],
      ];
    }),
  };
}

function table(title: string, columns: readonly Column[], results: readonly Result[]): Table {
  return {
    title,
    head: ['', ...columns.map(([name]) => name)],
    body: results.map(({ setting, metrics }) => [
      setting,
      ...columns.map(([, name]) => formatNumber(metrics[name])),
    ]),
  };
}

function metric(results: readonly Result[], setting: string, name: string): number | undefined {
  return results.find((result) => result.setting === setting)?.metrics[name];
}

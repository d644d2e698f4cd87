import { PAIRS_SETTING } from '../lanes/ledger.ts';
import { MEMORY_SETTING } from '../lanes/memory.ts';
import {
  ARRIVALS_SETTING,
  HELD_SETTING,
  HELD_STREAMS,
  OPEN_SETTING,
  settingOf,
  SINGLE_SETTING,
} from '../lanes/requests.ts';
import { findRow, type LaneName, type Metrics, type Row } from './row.ts';

/** What we have set out to reach on two cores, and where its figure stands. */
interface Goal {
  readonly text: string;
  readonly unit: string;
  readonly limit: number;
  readonly measure: (rows: readonly Row[]) => number | undefined;
}

export interface GoalOutcome {
  readonly text: string;
  readonly unit: string;
  readonly limit: number;
  readonly measured: number | undefined;
  readonly isMet: boolean;
}

type Read = (metrics: Metrics) => number | undefined;

/** Growth by less than that is not told from noise: a minute of it in ten. */
const FLAT_MIB_PER_MINUTE = 0.5;

function ours(lane: LaneName, setting: string, read: Read | string): Goal['measure'] {
  return (rows) => {
    const metrics = findRow(rows, lane, setting, 'arrakis')?.metrics;
    if (metrics === undefined) return undefined;
    return typeof read === 'string' ? metrics[read] : read(metrics);
  };
}

const inMs: Read = (metrics) =>
  metrics.cpuMicros === undefined ? undefined : metrics.cpuMicros / 1000;

/** Of fewer streams than asked for at a time, because they began too late, nothing follows. */
const whenTogether =
  (name: string): Read =>
  (metrics) =>
    (metrics.together ?? 0) < HELD_STREAMS ? undefined : metrics[name];

/** The services that are ours; servers of others fill their caches. */
const largestGrowth: Read = (metrics) =>
  Math.max(
    ...['api', 'finn', 'worker'].map((name) => metrics[`growth/${name}MibPerMinute`] ?? Infinity),
  );

/** Tracing's share of the CPU time of a request, in percent, at 16 connections. */
function tracingCost(rows: readonly Row[]): number | undefined {
  const of = (name: 'arrakis' | 'arrakis+tracing'): number | undefined =>
    findRow(rows, 'unary-closed', settingOf(16), name)?.metrics.cpuMicros;
  const [without, with_] = [of('arrakis'), of('arrakis+tracing')];
  return without === undefined || with_ === undefined ? undefined : 100 * (with_ / without - 1);
}

const single = settingOf(1);
const GOALS: readonly Goal[] = [
  {
    text: 'added latency, plain answer, 1 connection, p50',
    unit: 'ms',
    limit: 2,
    measure: ours('unary-closed', single, 'addedLatencyP50Ms'),
  },
  {
    text: 'added latency, plain answer, 1 connection, p99',
    unit: 'ms',
    limit: 6,
    measure: ours('unary-closed', single, 'addedLatencyP99Ms'),
  },
  {
    text: `added latency, ${OPEN_SETTING}, p50`,
    unit: 'ms',
    limit: 3,
    measure: ours('unary-open', OPEN_SETTING, 'addedLatencyP50Ms'),
  },
  {
    text: `added latency, ${OPEN_SETTING}, p99`,
    unit: 'ms',
    limit: 12,
    measure: ours('unary-open', OPEN_SETTING, 'addedLatencyP99Ms'),
  },
  {
    text: 'CPU of all processes a request, 64 connections',
    unit: 'ms',
    limit: 0.8,
    measure: ours('unary-closed', settingOf(64), inMs),
  },
  {
    text: 'CPU of all processes a request, 16 connections',
    unit: 'ms',
    limit: 1.2,
    measure: ours('unary-closed', settingOf(16), inMs),
  },
  {
    text: `added time to first token, ${SINGLE_SETTING}, p50`,
    unit: 'ms',
    limit: 1.5,
    measure: ours('stream-single', SINGLE_SETTING, 'addedFirstTokenP50Ms'),
  },
  {
    text: `added time to first token, ${SINGLE_SETTING}, p99`,
    unit: 'ms',
    limit: 5,
    measure: ours('stream-single', SINGLE_SETTING, 'addedFirstTokenP99Ms'),
  },
  {
    text: `added time to first token, ${ARRIVALS_SETTING}, p50`,
    unit: 'ms',
    limit: 3,
    measure: ours('stream-arrivals', ARRIVALS_SETTING, 'addedFirstTokenP50Ms'),
  },
  {
    text: `added time to first token, ${ARRIVALS_SETTING}, p99`,
    unit: 'ms',
    limit: 12,
    measure: ours('stream-arrivals', ARRIVALS_SETTING, 'addedFirstTokenP99Ms'),
  },
  {
    text: `${HELD_SETTING}: gap p99`,
    unit: 'ms',
    limit: 60,
    measure: ours('stream-held', HELD_SETTING, whenTogether('gapP99Ms')),
  },
  {
    text: `${HELD_SETTING}: CPU a chunk, freeside api`,
    unit: 'µs',
    limit: 15,
    measure: ours('stream-held', HELD_SETTING, whenTogether('cpu/apiMicros')),
  },
  {
    text: `${HELD_SETTING}: CPU a chunk, finn`,
    unit: 'µs',
    limit: 15,
    measure: ours('stream-held', HELD_SETTING, whenTogether('cpu/finnMicros')),
  },
  {
    text: `holds and settlements on one account, ${PAIRS_SETTING}, hold p99`,
    unit: 'ms',
    limit: 15,
    measure: ours('ledger-open', PAIRS_SETTING, 'latencyP99Ms'),
  },
  {
    text: 'memory of our services at half load, largest growth a minute',
    unit: 'MiB',
    limit: FLAT_MIB_PER_MINUTE,
    measure: ours('memory', MEMORY_SETTING, largestGrowth),
  },
  {
    text: 'tracing at 10 % sampling, CPU a request, 16 connections',
    unit: '% more',
    limit: 25,
    measure: tracingCost,
  },
];

export function judge(rows: readonly Row[]): GoalOutcome[] {
  return GOALS.map(({ text, unit, limit, measure }) => {
    const measured = measure(rows);
    return { text, unit, limit, measured, isMet: measured !== undefined && measured <= limit };
  });
}

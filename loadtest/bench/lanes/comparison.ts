import type { Contestant } from '../contestants/contestant.ts';
import type { Measurement } from '../generator/handle.ts';
import type { Load } from '../generator/protocol.ts';
import { medians, type LaneName, type Metrics, type Row } from '../report/row.ts';
import type { Bench } from './lane.ts';

interface Setting {
  readonly name: string;
  readonly load: DistributiveOmit<Load, 'target'>;
}

type DistributiveOmit<T, K extends PropertyKey> = T extends unknown ? Omit<T, K> : never;

interface Comparison {
  readonly lane: LaneName;
  readonly settings: readonly Setting[];
}

interface Draft {
  readonly setting: Setting;
  readonly contestant: Contestant;
  readonly rounds: Metrics[];
  fault?: string;
}

/** Settlements, usage events and log lines of the last requests: part of their price. */
const AFTERMATH_MS = 400;
/** The provider's share and ours are not part of what a contestant costs. */
const SHARED = ['provider', 'generator'];

/**
 * Every contestant under every load, in turns: whatever else happens on the machine hits all alike.
 * Each round begins with another one.
 */
export async function compare(bench: Bench, { lane, settings }: Comparison): Promise<Row[]> {
  const drafts = settings.flatMap((setting) =>
    bench.contestants.map((contestant): Draft => ({ setting, contestant, rounds: [] })),
  );
  for (let round = 0; round < bench.rounds; round += 1) {
    for (const setting of settings) {
      const turn = rotate(
        drafts.filter((draft) => draft.setting === setting),
        round,
      );
      for (const draft of turn) await measure(bench, draft, `${lane} ${round + 1}/${bench.rounds}`);
    }
  }
  return drafts.map((draft) => toRow(lane, draft, drafts));
}

async function measure(bench: Bench, draft: Draft, label: string): Promise<void> {
  if (draft.fault !== undefined) return;
  const { contestant, setting } = draft;
  const groups = { ...contestant.processes, provider: bench.provider.pid };
  try {
    const load = { ...setting.load, target: contestant.target };
    // Held streams go on; of all other loads the last traces are awaited.
    const aftermathMs = load.kind === 'held' ? 0 : AFTERMATH_MS;
    const measurement = await bench.generator.run(load, groups, aftermathMs);
    const metrics = metricsOf(measurement, load.kind === 'held' ? 'token' : 'request');
    draft.rounds.push(metrics);
    bench.progress(`${label}  ${setting.name}  ${contestant.name}: ${brief(metrics)}`);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    // What the peer can't do is a result. An error of ours or of our fake is none.
    if (contestant.name !== 'portkey') {
      throw new Error(`${lane(label)} ${setting.name}, ${contestant.name}: ${reason}`, {
        cause: error,
      });
    }
    draft.fault = reason;
    bench.progress(`${label}  ${setting.name}  ${contestant.name}: FAILED, ${reason}`);
  }
}

function lane(label: string): string {
  return label.split(' ')[0] ?? '';
}

function metricsOf(measurement: Measurement, per: 'request' | 'token'): Metrics {
  const { requests, elapsedMs, tokens, latency, firstToken, gap, lateness, together } = measurement;
  const divisor = per === 'token' ? tokens : requests;
  const cpu = Object.entries(measurement.cpuMs).map(
    ([name, ms]) => [name, (ms * 1000) / divisor] as const,
  );
  const own = cpu.filter(([name]) => !SHARED.includes(name));
  return {
    perSecond: ((per === 'token' ? tokens : requests) * 1000) / elapsedMs,
    latencyP50Ms: latency.p50Ms,
    latencyP99Ms: latency.p99Ms,
    ...(firstToken === undefined
      ? {}
      : { firstTokenP50Ms: firstToken.p50Ms, firstTokenP99Ms: firstToken.p99Ms }),
    ...(gap === undefined ? {} : { gapP50Ms: gap.p50Ms, gapP99Ms: gap.p99Ms, gapMaxMs: gap.maxMs }),
    ...(lateness === undefined ? {} : { latenessP99Ms: lateness.p99Ms }),
    ...(together === undefined ? {} : { together }),
    cpuMicros: own.reduce((sum, [, micros]) => sum + micros, 0),
    ...Object.fromEntries(cpu.map(([name, micros]) => [`cpu/${name}Micros`, micros])),
    ...Object.fromEntries(
      Object.entries(measurement.rssMib).map(([name, mib]) => [`rss/${name}Mib`, mib]),
    ),
    othersPercent: measurement.othersPercent,
  };
}

const ADDED = ['latencyP50Ms', 'latencyP99Ms', 'firstTokenP50Ms', 'firstTokenP99Ms'];

function toRow(laneName: LaneName, draft: Draft, all: readonly Draft[]): Row {
  const { contestant, setting, fault } = draft;
  const floor = all.find((one) => one.setting === setting && one.contestant.name === 'direct');
  const rounds = draft.rounds.map((metrics, index) => ({
    ...metrics,
    ...addedTo(floor?.rounds[index] ?? {}, metrics),
  }));
  return {
    lane: laneName,
    setting: setting.name,
    contestant: contestant.name,
    metrics: medians(rounds),
    rounds,
    ...(fault === undefined ? {} : { fault }),
  };
}

/** Over the provider asked directly, in the same round. */
function addedTo(floor: Metrics, metrics: Metrics): Metrics {
  return Object.fromEntries(
    ADDED.flatMap((name) => {
      const [with_, without] = [metrics[name], floor[name]];
      if (with_ === undefined || without === undefined) return [];
      return [[`added${name.charAt(0).toUpperCase()}${name.slice(1)}`, with_ - without] as const];
    }),
  );
}

function rotate<T>(items: readonly T[], by: number): T[] {
  const at = by % Math.max(1, items.length);
  return [...items.slice(at), ...items.slice(0, at)];
}

function brief(metrics: Metrics): string {
  const show = (name: string, unit: string, digits = 1): string => {
    const value = metrics[name];
    return value === undefined ? '' : ` ${value.toFixed(digits)}${unit}`;
  };
  const times =
    metrics.gapP99Ms === undefined
      ? `p50${show('latencyP50Ms', '')} p99${show('latencyP99Ms', ' ms')}`
      : `gap p50${show('gapP50Ms', '')} p99${show('gapP99Ms', ' ms')}`;
  const first =
    metrics.firstTokenP50Ms === undefined
      ? ''
      : `, first token p50${show('firstTokenP50Ms', '')} p99${show('firstTokenP99Ms', ' ms')}`;
  return `${show('perSecond', '/s', 0).trim()}, ${times}${first}, CPU${show('cpuMicros', ' us')}, others${show('othersPercent', ' %', 0)}`;
}

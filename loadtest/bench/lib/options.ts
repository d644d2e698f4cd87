import { resolve } from 'node:path';
import { parseArgs } from 'node:util';

export const LANE_GROUPS = [
  'unary',
  'open',
  'streams',
  'held',
  'ledger',
  'start',
  'memory',
] as const;
export type LaneGroup = (typeof LANE_GROUPS)[number];
export const CONTESTANT_GROUPS = ['direct', 'peer', 'ours', 'tracing'] as const;
export type ContestantGroup = (typeof CONTESTANT_GROUPS)[number];

export interface Options {
  readonly quick: boolean;
  readonly lanes: readonly LaneGroup[];
  readonly contestants: readonly ContestantGroup[];
  readonly rounds: number;
  readonly memoryMs: number;
  /** A result file to compare with. */
  readonly compare: string | undefined;
  /** Where CPU profiles of our services go. */
  readonly cpuProfileDir: string | undefined;
  /** Where the logs of our services go. */
  readonly logDir: string | undefined;
  /** Root of another checkout whose services take part, to tell what a change brings. */
  readonly variant: string | undefined;
}

export const USAGE = `node loadtest/bench/main.ts [options]
  --quick             one round, shorter, no memory lane
  --lanes a,b         of ${LANE_GROUPS.join(', ')}
  --contestants a,b   of ${CONTESTANT_GROUPS.join(', ')}; ours and the provider always take part
  --rounds n          3 unless said otherwise
  --memory 10m        length of the memory lane; 10m in a full run
  --compare file      show what changed since an earlier bench.json
  --variant dir       another checkout of ours takes part too, in turns with this one
  --logs dir          keep what our services log, to see why an answer was wrong
  --cpu-prof dir      write CPU profiles of our services; read them with profile.ts`;

const FULL_MEMORY = '10m';
const UNIT_MS = { s: 1_000, m: 60_000 } as const;

/** @throws Error with what is wrong about the arguments */
export function readOptions(args: readonly string[]): Options {
  const { values } = parseArgs({
    args: [...args],
    options: {
      quick: { type: 'boolean', default: false },
      lanes: { type: 'string' },
      contestants: { type: 'string' },
      rounds: { type: 'string' },
      memory: { type: 'string' },
      compare: { type: 'string' },
      logs: { type: 'string' },
      variant: { type: 'string' },
      'cpu-prof': { type: 'string' },
    },
  });
  const { quick, memory } = values;
  const dir = (value: string | undefined): string | undefined => value && resolve(value);
  const lanes = listOf(LANE_GROUPS, values.lanes);
  return {
    quick,
    lanes: quick && memory === undefined ? lanes.filter((lane) => lane !== 'memory') : lanes,
    contestants: listOf(CONTESTANT_GROUPS, values.contestants),
    rounds: countOf(values.rounds ?? (quick ? '1' : '3')),
    memoryMs: durationOf(memory ?? FULL_MEMORY),
    compare: dir(values.compare),
    cpuProfileDir: dir(values['cpu-prof']),
    variant: dir(values.variant),
    logDir: dir(values.logs),
  };
}

/** Whether the results may stand for the product. */
export function kindOf(options: Options): 'full' | 'quick' | 'partial' {
  if (options.quick) return 'quick';
  const isWhole =
    options.lanes.length === LANE_GROUPS.length &&
    options.contestants.length === CONTESTANT_GROUPS.length &&
    options.rounds >= 3 &&
    options.memoryMs >= durationOf(FULL_MEMORY) &&
    options.variant === undefined &&
    options.cpuProfileDir === undefined;
  return isWhole ? 'full' : 'partial';
}

function listOf<T extends string>(known: readonly T[], value: string | undefined): readonly T[] {
  if (value === undefined) return known;
  const names = value.split(',');
  const strange = names.find((name) => !known.some((one) => one === name));
  if (strange !== undefined) throw new Error(`"${strange}" is none of ${known.join(', ')}`);
  return known.filter((one) => names.includes(one));
}

function countOf(value: string): number {
  const count = Number(value);
  if (!Number.isInteger(count) || count < 1) throw new Error(`--rounds ${value} is no count`);
  return count;
}

function durationOf(value: string): number {
  const match = /^(\d+)([sm])$/.exec(value);
  const unitMs = match?.[2] === 's' ? UNIT_MS.s : UNIT_MS.m;
  if (match === null) throw new Error(`--memory ${value}: say 90s or 10m`);
  return Number(match[1]) * unitMs;
}

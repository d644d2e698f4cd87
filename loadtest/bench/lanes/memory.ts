import { setTimeout as pause } from 'node:timers/promises';
import { startGenerator } from '../generator/handle.ts';
import type { OpenLoad } from '../generator/protocol.ts';
import { usageOf } from '../lib/process-cpu.ts';
import { slope } from '../lib/statistics.ts';
import { findRow, type Metrics, type Row } from '../report/row.ts';
import type { Bench, Lane } from './lane.ts';
import { settingOf } from './requests.ts';

const SAMPLE_MS = 5_000;
/** Heaps grow to their working size first. */
const SETTLING_SHARE = 0.3;
const CALIBRATION_MS = 4_000;
const MIB_PER_MINUTE = 60_000;

interface Sample {
  readonly atMs: number;
  readonly rssMib: Readonly<Record<string, number>>;
}

export const MEMORY_SETTING = 'half load';

/** Half of the ceiling, plain and streamed answers evenly; resident memory of each process. */
export const memory: Lane = async (bench) => {
  const { ours, memoryMs } = bench;
  const ceiling =
    findRow(bench.found, 'unary-closed', settingOf(64), 'arrakis')?.metrics.perSecond ??
    (await ceilingOf(bench));
  const perSecond = Math.round(ceiling / 4);
  bench.progress(`memory  ${2 * perSecond}/s for ${(memoryMs / 60_000).toFixed(1)} min`);
  const over = new AbortController();
  const sampling = sample(bench, over.signal);
  try {
    await Promise.all(
      [false, true].map((stream) => half(ours.target, { stream, perSecond, memoryMs })),
    );
  } finally {
    over.abort();
  }
  return [toRow(await sampling, 2 * perSecond)];
};

/** Where it was not measured in this run. */
async function ceilingOf({ generator, ours }: Bench): Promise<number> {
  const { requests, elapsedMs } = await generator.run(
    {
      kind: 'closed',
      target: ours.target,
      stream: false,
      tokens: 16,
      paceMs: 0,
      delayMs: [0, 0],
      warmUpMs: CALIBRATION_MS,
      durationMs: CALIBRATION_MS,
      connections: 64,
    },
    {},
    0,
  );
  return (requests * 1000) / elapsedMs;
}

async function half(
  target: OpenLoad['target'],
  { stream, perSecond, memoryMs }: { stream: boolean; perSecond: number; memoryMs: number },
): Promise<void> {
  const generator = startGenerator();
  try {
    const load: OpenLoad = {
      kind: 'open',
      target,
      stream,
      perSecond,
      tokens: 16,
      paceMs: 0,
      delayMs: [25, 75],
      warmUpMs: 1_000,
      durationMs: memoryMs,
    };
    await generator.run(load, {}, 0);
  } finally {
    generator.stop();
  }
}

async function sample({ ours, progress }: Bench, signal: AbortSignal): Promise<Sample[]> {
  const samples: Sample[] = [];
  const beganMs = performance.now();
  while (!signal.aborted) {
    const usage = await usageOf(ours.processes);
    const rssMib = Object.fromEntries(
      Object.entries(usage).map(([name, { rssMib }]) => [name, rssMib] as const),
    );
    samples.push({ atMs: performance.now() - beganMs, rssMib });
    if (samples.length % 12 === 1) {
      const shown = Object.entries(rssMib).map(([name, mib]) => `${name} ${mib.toFixed(0)}`);
      progress(
        `memory  MiB after ${((samples.length - 1) * SAMPLE_MS) / 1000} s: ${shown.join(', ')}`,
      );
    }
    await pause(SAMPLE_MS, undefined, { signal }).catch(() => undefined);
  }
  return samples;
}

function toRow(samples: readonly Sample[], perSecond: number): Row {
  const settled = samples.slice(Math.floor(samples.length * SETTLING_SHARE));
  const names = Object.keys(samples[0]?.rssMib ?? {});
  const metrics = Object.fromEntries(
    names.flatMap((name): [string, number][] => {
      const of = (one: Sample): number => one.rssMib[name] ?? 0;
      const perMs = slope(settled.map((one) => [one.atMs, of(one)] as const));
      const values = settled.map(of);
      return [
        [`rss/${name}Mib`, values.reduce((sum, one) => sum + one, 0) / values.length],
        [`rssMax/${name}Mib`, Math.max(...samples.map(of))],
        [`growth/${name}MibPerMinute`, perMs * MIB_PER_MINUTE],
      ];
    }),
  );
  const round: Metrics = { perSecond, ...metrics };
  return {
    lane: 'memory',
    setting: MEMORY_SETTING,
    contestant: 'arrakis',
    metrics: round,
    rounds: samples.map(({ atMs, rssMib }) => ({ atMs, ...rssMib })),
  };
}

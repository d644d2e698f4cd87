import { setTimeout as pause } from 'node:timers/promises';
import { Pool } from 'undici';
import { arrive } from '../lib/arrivals.ts';
import type { Marks } from '../lib/load-messages.ts';
import { Histogram } from '../lib/statistics.ts';
import { Caller } from './call.ts';
import type { ClosedLoad, HeldLoad, Load, LoadResult, OpenLoad } from './protocol.ts';
import { Samples } from './samples.ts';

/** More than any lane has under way at once. */
const MAX_CONNECTIONS = 2048;

/** @throws whatever the first call that went wrong throws */
export async function runLoad(load: Load, marks: Marks): Promise<LoadResult> {
  const connections = load.kind === 'closed' ? load.connections : MAX_CONNECTIONS;
  const pool = new Pool(load.target.origin, { connections, pipelining: 1 });
  try {
    const caller = new Caller(pool, load);
    if (load.kind === 'closed') return await runClosed(caller, load, marks);
    if (load.kind === 'open') return await runOpen(caller, load, marks);
    return await runHeld(caller, load, marks);
  } finally {
    await pool.destroy();
  }
}

async function runClosed(caller: Caller, load: ClosedLoad, marks: Marks): Promise<LoadResult> {
  const samples = new Samples();
  const all = (durationMs: number, atLeast: number): Promise<unknown> => {
    const untilMs = performance.now() + durationMs;
    let answered = 0;
    const ask = async (): Promise<void> => {
      do {
        const startMs = performance.now();
        samples.add(startMs, await caller.call());
        answered += 1;
      } while (performance.now() < untilMs || answered < atLeast);
    };
    return Promise.all(Array.from({ length: load.connections }, ask));
  };
  await all(load.warmUpMs, load.warmUpRequests ?? 0);
  await marks.begin();
  samples.start();
  await all(load.durationMs, 0);
  const result = samples.result({ stream: load.stream, tokens: 0 });
  await marks.end();
  return { ...result, tokens: result.requests * load.tokens };
}

async function runOpen(caller: Caller, load: OpenLoad, marks: Marks): Promise<LoadResult> {
  const samples = new Samples();
  const lateness = new Histogram();
  await arrive(load.perSecond, load.warmUpMs, () => caller.call());
  await marks.begin();
  samples.start();
  await arrive(load.perSecond, load.durationMs, async (intendedMs) => {
    lateness.add(performance.now() - intendedMs);
    samples.add(intendedMs, await caller.call());
  });
  const result = samples.result({ stream: load.stream, tokens: 0, lateness: lateness.summary() });
  await marks.end();
  return { ...result, tokens: result.requests * load.tokens };
}

async function runHeld(caller: Caller, load: HeldLoad, marks: Marks): Promise<LoadResult> {
  const samples = new Samples();
  const gaps = new Histogram();
  let [began, ended] = [0, 0];
  let isMeasuring = false;
  let tokens = 0;
  const { promise: allBegan, resolve: onAllBegan } = Promise.withResolvers<undefined>();
  const stream = async (intendedMs: number): Promise<void> => {
    let lastMs = 0;
    const times = await caller.call((atMs, pieces) => {
      if (lastMs === 0) {
        began += 1;
        if (began === load.streams) onAllBegan(undefined);
      } else if (isMeasuring) {
        gaps.add(atMs - lastMs);
        for (let more = 1; more < pieces; more += 1) gaps.add(0);
      }
      if (isMeasuring) tokens += pieces;
      lastMs = atMs;
    });
    ended += 1;
    samples.add(intendedMs, times);
  };
  const rampMs = (load.streams / load.rampPerSecond) * 1000;
  const streams = arrive(load.rampPerSecond, rampMs, stream);
  await Promise.race([allBegan, streams]);
  await Promise.race([pause(load.warmUpMs), streams]);
  await marks.begin();
  isMeasuring = true;
  const beganBefore = began;
  const beganMs = performance.now();
  await Promise.race([pause(load.durationMs), streams]);
  const elapsedMs = performance.now() - beganMs;
  isMeasuring = false;
  const [measured, together] = [tokens, beganBefore - ended];
  await marks.end();
  await streams;
  const result = samples.result({ stream: true, tokens: measured, gap: gaps.summary() });
  return { ...result, elapsedMs, together };
}

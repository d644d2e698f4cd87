import { compare } from './comparison.ts';
import type { Bench, Lane } from './lane.ts';

/** Tokens of a short answer, which the provider sends at once. */
const SHORT = { tokens: 16, paceMs: 0 } as const;
const NO_DELAY = [0, 0] as const;
const WARM_UP_MS = 1_000;
const RESERVE_MS = 4_000;
export const CONNECTIONS = [1, 16, 64] as const;
export const settingOf = (connections: number): string =>
  connections === 1 ? '1 connection' : `${connections} connections`;
export const OPEN_SETTING = '200 requests/s';
export const SINGLE_SETTING = '1 stream';
export const ARRIVALS_SETTING = '50 new streams/s';
export const HELD_STREAMS = 512;
export const HELD_SETTING = `${HELD_STREAMS} streams, a token each 20 ms`;

/** Ceilings and CPU per request of plain answers. */
export const unaryClosed: Lane = (bench) =>
  compare(bench, {
    lane: 'unary-closed',
    settings: CONNECTIONS.map((connections) => ({
      name: settingOf(connections),
      load: {
        kind: 'closed',
        ...SHORT,
        stream: false,
        delayMs: NO_DELAY,
        ...times(bench, 5_000),
        connections,
      },
    })),
  });

/** Latency of plain answers as callers see it who don't wait for each other. */
export const unaryOpen: Lane = (bench) =>
  compare(bench, {
    lane: 'unary-open',
    settings: [
      {
        name: OPEN_SETTING,
        load: {
          kind: 'open',
          ...SHORT,
          stream: false,
          delayMs: [25, 75],
          ...times(bench, 10_000),
          perSecond: 200,
        },
      },
    ],
  });

export const streamSingle: Lane = (bench) =>
  compare(bench, {
    lane: 'stream-single',
    settings: [
      {
        name: SINGLE_SETTING,
        load: {
          kind: 'closed',
          ...SHORT,
          stream: true,
          delayMs: NO_DELAY,
          ...times(bench, 5_000),
          connections: 1,
        },
      },
    ],
  });

/** Each lasts a second, so that some fifty run at a time. */
export const streamArrivals: Lane = (bench) =>
  compare(bench, {
    lane: 'stream-arrivals',
    settings: [
      {
        name: ARRIVALS_SETTING,
        load: {
          kind: 'open',
          tokens: 50,
          paceMs: 20,
          stream: true,
          delayMs: NO_DELAY,
          ...times(bench, 10_000),
          perSecond: 50,
        },
      },
    ],
  });

/** Measured while all run: they last long enough for a contestant that is slow to begin them. */
export const streamHeld: Lane = (bench) => {
  const { durationMs, warmUpMs } = times(bench, 6_000);
  const [paceMs, rampPerSecond] = [20, 128];
  const rampMs = (1000 * HELD_STREAMS) / rampPerSecond;
  return compare(bench, {
    lane: 'stream-held',
    settings: [
      {
        name: HELD_SETTING,
        load: {
          kind: 'held',
          streams: HELD_STREAMS,
          rampPerSecond,
          tokens: Math.ceil((rampMs + warmUpMs + durationMs + RESERVE_MS) / paceMs),
          paceMs,
          stream: true,
          delayMs: NO_DELAY,
          warmUpMs,
          durationMs,
        },
      },
    ],
  });
};

function times(bench: Bench, durationMs: number): { warmUpMs: number; durationMs: number } {
  return { warmUpMs: WARM_UP_MS, durationMs: durationMs * bench.scale };
}

import { POOLS, TIER_POOLS, TIERS, type Pool } from '@arrakis/contracts';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { CLOSED } from './breaker.domain.ts';
import {
  choices,
  fitsContext,
  isAvailable,
  nextProbeMs,
  PROBE,
  retryAfterMs,
  type TargetView,
} from './pool.domain.ts';

const view = (name: string, change: Partial<TargetView> = {}): TargetView => ({
  name,
  breaker: CLOSED,
  inFlight: 0,
  maxConcurrency: undefined,
  ...change,
});
const perPool = Object.fromEntries(
  POOLS.map((pool) => [pool, [view(`${pool}-1`), view(`${pool}-2`)]]),
) as Record<Pool, TargetView[]>;
const names = (found: readonly { target: TargetView }[]) => found.map(({ target }) => target.name);

describe('the targets to try', () => {
  test('are those of the pool, then of the cheaper ones', () => {
    expect(names(choices(perPool, 'pro', 'standard'))).toEqual([
      'standard-1',
      'standard-2',
      'cheap-1',
      'cheap-2',
    ]);
  });

  test('never lie outside the tier, nor in a dearer pool', () => {
    fc.assert(
      fc.property(fc.constantFrom(...TIERS), fc.constantFrom(...POOLS), (tier, pool) => {
        for (const choice of choices(perPool, tier, pool)) {
          expect(TIER_POOLS[tier].mayUse).toContain(choice.pool);
          expect(POOLS.indexOf(choice.pool)).toBeLessThanOrEqual(POOLS.indexOf(pool));
        }
      }),
    );
  });

  test('have one that serves several pools only once, for the dearest of them', () => {
    const shared = view('shared');
    const alike = Object.fromEntries(POOLS.map((pool) => [pool, [shared]])) as typeof perPool;
    expect(choices(alike, 'enterprise', 'architect')).toEqual([
      { pool: 'architect', target: shared },
    ]);
  });
});

test('a target is available unless its breaker is open or it is full', () => {
  expect(isAvailable(view('a'), 0)).toBe(true);
  expect(isAvailable(view('a', { maxConcurrency: 1, inFlight: 1 }), 0)).toBe(false);
  expect(isAvailable(view('a', { breaker: { state: 'open', untilMs: 10 } }), 9)).toBe(false);
  expect(isAvailable(view('a', { breaker: { state: 'open', untilMs: 10 } }), 10)).toBe(true);
  expect(isAvailable(view('a', { breaker: { state: 'half_open' } }), 0)).toBe(false);
});

test('who finds all closed is told of the first to open, or to come back soon', () => {
  const open = (untilMs: number) => view('o', { breaker: { state: 'open', untilMs } });
  expect(retryAfterMs([open(40_000), open(25_000)], 10_000)).toBe(15_000);
  expect(retryAfterMs([open(40_000), view('full')], 10_000)).toBe(1_000);
  expect(retryAfterMs([open(10_001)], 10_000)).toBe(1_000);
});

test('a request fits a window that holds prompt and answer', () => {
  expect(fitsContext(100, 60, 40)).toBe(true);
  expect(fitsContext(100, 61, 40)).toBe(false);
  expect(fitsContext(undefined, 1_000_000, 1)).toBe(true);
});

test('probes come at their interval with jitter, soon after a failure, and when a breaker is due', () => {
  expect(nextProbeMs(CLOSED, false, 0, 0.5)).toBe(PROBE.intervalMs);
  expect(nextProbeMs(CLOSED, false, 0, 0)).toBeLessThan(PROBE.intervalMs);
  expect(nextProbeMs(CLOSED, true, 0, 0.5)).toBe(PROBE.afterFailureMs);
  expect(nextProbeMs({ state: 'open', untilMs: 30_000 }, true, 10_000, 0)).toBe(20_000);
});

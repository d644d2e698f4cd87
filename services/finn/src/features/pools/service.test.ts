import { POOLS, type Pool } from '@arrakis/contracts';
import { describe, expect, test } from 'vitest';
import { createCanned } from '../providers/canned.ts';
import { PoolService } from './service.ts';
import { Target } from './target.ts';

function started() {
  const clock = { ms: 1_000 };
  const target = new Target({
    name: 't',
    provider: createCanned(),
    model: 'm',
    maxConcurrency: undefined,
    contextTokens: undefined,
    nowMs: () => clock.ms,
    onBreakerChanged: () => undefined,
  });
  const byPool = Object.fromEntries(POOLS.map((pool) => [pool, [target]]));
  const pools = new PoolService(byPool as unknown as Record<Pool, Target[]>, () => clock.ms);
  return { clock, target, pools };
}

describe('the pools', () => {
  test('are not ready before a target has answered, though it may be called', () => {
    const { pools, target } = started();
    expect(() => pools.checkReady()).toThrow('answered');
    expect(pools.hasAvailable(pools.choices('free', 'cheap'))).toBe(true);
    target.tryProbe()?.release('failed');
    expect(() => pools.checkReady()).toThrow('answered');
    target.tryProbe()?.release('succeeded');
    expect(() => pools.checkReady()).not.toThrow();
  });

  test('are ready with the first token of a call', () => {
    const { pools, target } = started();
    target.tryAcquire()?.responded();
    expect(() => pools.checkReady()).not.toThrow();
  });

  test('do not wait for ever for a target that may answer calls and no probes', () => {
    const { clock, pools } = started();
    clock.ms += 60_000;
    expect(() => pools.checkReady()).not.toThrow();
  });

  test('are not ready while no target may be called, whatever it has answered before', () => {
    const { pools, target } = started();
    target.tryProbe()?.release('succeeded');
    for (let time = 0; time < 3; time += 1) target.tryAcquire()?.release('failed');
    expect(() => pools.checkReady()).toThrow('available');
  });
});

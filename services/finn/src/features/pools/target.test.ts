import { describe, expect, test } from 'vitest';
import { createCanned } from '../providers/canned.ts';
import { BREAKER } from './breaker.domain.ts';
import { Target } from './target.ts';

function target(maxConcurrency?: number) {
  const clock = { ms: 0 };
  const states: string[] = [];
  const made = new Target({
    name: 't',
    provider: createCanned(),
    model: 'm',
    maxConcurrency,
    contextTokens: undefined,
    nowMs: () => clock.ms,
    onBreakerChanged: (_name, state) => states.push(state),
  });
  const fail = (times: number) => {
    for (let time = 0; time < times; time += 1) made.tryAcquire()?.release('failed');
  };
  return { made, clock, states, fail };
}

describe('a target', () => {
  test('takes no more calls than it may have at once', () => {
    const { made } = target(2);
    const first = made.tryAcquire();
    expect(made.tryAcquire()).toBeDefined();
    expect(made.tryAcquire()).toBeUndefined();
    first?.release('neutral');
    first?.release('neutral');
    expect(made.inFlight).toBe(1);
    expect(made.tryAcquire()).toBeDefined();
    expect(made.tryAcquire()).toBeUndefined();
  });

  test('is probed without taking a caller’s place', () => {
    const { made } = target(1);
    made.tryAcquire();
    expect(made.tryProbe()).toBeDefined();
    expect(made.inFlight).toBe(1);
  });

  test('closes at the first token of the call that tries it out', () => {
    const { made, clock, states, fail } = target();
    fail(3);
    expect(made.tryAcquire()).toBeUndefined();
    clock.ms += BREAKER.openMs;
    const lease = made.tryAcquire();
    expect(made.tryAcquire()).toBeUndefined();
    lease?.responded();
    expect(made.tryAcquire()).toBeDefined();
    expect(states).toEqual(['open', 'half_open', 'closed']);
  });

  test('is not reopened by a call from before', () => {
    const { made, clock, fail } = target();
    const old = made.tryAcquire();
    const older = made.tryAcquire();
    fail(3);
    clock.ms += BREAKER.openMs;
    const probe = made.tryAcquire();
    old?.release('failed');
    older?.release('succeeded');
    expect(made.breaker.state).toBe('half_open');
    probe?.release('succeeded');
    expect(made.breaker.state).toBe('closed');
  });
});

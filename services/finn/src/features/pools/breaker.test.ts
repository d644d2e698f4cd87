import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  abandoned,
  admits,
  admitted,
  BREAKER,
  CLOSED,
  failed,
  succeeded,
} from './breaker.domain.ts';

const open = [0, 0, 0].reduce((breaker) => failed(breaker, 1_000), CLOSED);

describe('a breaker', () => {
  test('opens at the third failure in a row', () => {
    const twice = failed(failed(CLOSED, 0), 0);
    expect(admits(twice, 0)).toBe(true);
    expect(admits(failed(twice, 0), 0)).toBe(false);
    expect(admits(failed(succeeded(twice), 0), 0)).toBe(true);
  });

  test('stays open for thirty seconds, then admits one call', () => {
    expect(admits(open, 1_000 + BREAKER.openMs - 1)).toBe(false);
    expect(admits(open, 1_000 + BREAKER.openMs)).toBe(true);
    expect(admits(admitted(open), 1_000 + BREAKER.openMs)).toBe(false);
  });

  test('closes when that call succeeds, and opens again when it fails', () => {
    expect(succeeded(admitted(open))).toEqual(CLOSED);
    const again = failed(admitted(open), 50_000);
    expect(again).toEqual({ state: 'open', untilMs: 50_000 + BREAKER.openMs });
  });

  test('gives the next caller a try when that call told nothing', () => {
    expect(admits(abandoned(admitted(open), 50_000), 50_000)).toBe(true);
  });

  test('is never longer open after further failures', () => {
    expect(failed(open, 20_000)).toEqual(open);
  });

  test('is usable again within its time after any history', () => {
    const step = fc.constantFrom('admit', 'succeed', 'fail', 'abandon');
    fc.assert(
      fc.property(fc.array(fc.tuple(step, fc.nat(1_000))), (steps) => {
        let now = 0;
        let breaker = CLOSED;
        for (const [what, passed] of steps) {
          now += passed;
          if (what === 'admit' && admits(breaker, now)) breaker = admitted(breaker);
          if (what === 'succeed') breaker = succeeded(breaker);
          if (what === 'fail') breaker = failed(breaker, now);
          if (what === 'abandon') breaker = abandoned(breaker, now);
        }
        // A half open one is decided by its call; each of the three ways out leads on.
        const decided = breaker.state === 'half_open' ? failed(breaker, now) : breaker;
        expect(admits(decided, now + BREAKER.openMs)).toBe(true);
      }),
    );
  });
});

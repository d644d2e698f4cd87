import { describe, expect, it } from 'vitest';
import { backoffMs, jittered } from './backoff.domain.ts';
import { mayTake, viewLease } from './lease.domain.ts';
import { missedNames } from './missed.domain.ts';

describe('the backoff', () => {
  const options = { firstMs: 100, maxMs: 1_000 };
  it.each([
    [1, 0, 50],
    [1, 1, 100],
    [2, 1, 200],
    [4, 1, 800],
    [5, 1, 1_000],
    [500, 1, 1_000],
    [500, 0, 500],
  ])('after %i failures, by chance %d, is %i ms', (failures, random, ms) => {
    expect(backoffMs(failures, random, options)).toBe(ms);
  });
  it('jitters by a fifth either way', () => {
    expect([jittered(100, 0), jittered(100, 0.5), jittered(100, 1)].map(Math.round)).toEqual([
      80, 100, 120,
    ]);
  });
});

describe('what a list finds and no event told', () => {
  const known = new Map([
    ['same', '1'],
    ['changed', '1'],
    ['gone', '1'],
  ]);
  it('is what came, changed or went', () => {
    const listed = new Map([
      ['same', '1'],
      ['changed', '2'],
      ['new', '3'],
    ]);
    expect(missedNames(known, listed).sort()).toEqual(['changed', 'gone', 'new']);
    expect(missedNames(known, known)).toEqual([]);
  });
});

describe('a Lease as it is seen', () => {
  const lease = (holder: string, renewTime: string) => ({
    metadata: { name: 'l', resourceVersion: '1' },
    spec: { holderIdentity: holder, renewTime, leaseDurationSeconds: 12 },
  });
  it('is taken only after it was seen unchanged for its whole duration', () => {
    const first = viewLease(lease('a', 't1'), undefined, 1_000);
    const same = viewLease(lease('a', 't1'), first, 9_000);
    expect(same.seenAtMs).toBe(1_000);
    expect(mayTake(same, 'b', 12_999)).toBe(false);
    expect(mayTake(same, 'b', 13_000)).toBe(true);
    const renewed = viewLease(lease('a', 't2'), same, 12_000);
    expect(mayTake(renewed, 'b', 13_000)).toBe(false);
  });
  it('is taken at once when it is free or our own', () => {
    expect(mayTake(viewLease(lease('', 't'), undefined, 0), 'b', 0)).toBe(true);
    expect(mayTake(viewLease(lease('b', 't'), undefined, 0), 'b', 0)).toBe(true);
  });
});

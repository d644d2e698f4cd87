import { expect, it } from 'vitest';
import { readPressure, waitingShare, wasStarved } from './pressure.ts';

it('the share is of the time between two looks', () => {
  const before = { waitedMs: 1_000, atMs: 5_000 };
  const share = waitingShare(before, { waitedMs: 2_000, atMs: 7_000 });
  expect(share).toBe(0.5);
  expect(wasStarved(share)).toBe(false);
  expect(wasStarved(waitingShare(before, { waitedMs: 3_000, atMs: 7_000 }))).toBe(true);
});

it('a kernel that does not tell excuses nothing', () => {
  expect(waitingShare(undefined, { waitedMs: 3_000, atMs: 7_000 })).toBe(0);
  expect(waitingShare({ waitedMs: 3_000, atMs: 7_000 }, undefined)).toBe(0);
});

it('what this kernel has waited never gets less', async () => {
  const [before, after] = [await readPressure(), await readPressure()];
  expect(after?.waitedMs ?? 0).toBeGreaterThanOrEqual(before?.waitedMs ?? 0);
});

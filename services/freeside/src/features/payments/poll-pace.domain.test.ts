import { describe, expect, it } from 'vitest';
import { busyPauseMs } from './poll-pace.domain.ts';

describe('the pause that a busy vendor gets', () => {
  it('doubles from half a minute to five minutes', () => {
    const pauses = [0, 1, 2, 3, 4, 5, 5_000].map((busyInARow) => busyPauseMs(busyInARow, 0));
    expect(pauses.map((ms) => ms / 1_000)).toEqual([30, 60, 120, 240, 300, 300, 300]);
  });

  it('is up to a fifth longer by chance, but not above five minutes', () => {
    expect(busyPauseMs(0, 1)).toBe(36_000);
    expect(busyPauseMs(1, 0.5)).toBe(66_000);
    expect(busyPauseMs(4, 1)).toBe(300_000);
  });

  it('is never shorter than the vendor asked for, up to an hour', () => {
    expect(busyPauseMs(0, 0.5, 900)).toBe(900_000);
    expect(busyPauseMs(3, 0, 1)).toBe(240_000);
    expect(busyPauseMs(0, 0, 99_999)).toBe(3_600_000);
  });
});

import { describe, expect, it } from 'vitest';
import { PollPace } from './poll-pace.domain.ts';

describe('the pace of asking the vendor', () => {
  it('is a round at once and then every five minutes', () => {
    const pace = new PollPace();
    expect(pace.isDue(0)).toBe(true);
    pace.rest(1_000);
    expect(pace.isDue(300_999)).toBe(false);
    expect(pace.isDue(301_000)).toBe(true);
  });

  it('doubles from half a minute to five minutes while the vendor is busy, and starts over', () => {
    const pace = new PollPace();
    const waits = [1, 2, 3, 4, 5, 6].map(() => {
      pace.backOff(0, 0);
      return pace.dueMs / 1_000;
    });
    expect(waits).toEqual([30, 60, 120, 240, 300, 300]);
    pace.rest(0);
    pace.backOff(0, 1);
    expect(pace.dueMs).toBe(36_000);
    pace.backOff(0, 1);
    expect(pace.dueMs).toBe(72_000);
  });

  it('is never faster than the vendor asked for', () => {
    const pace = new PollPace();
    pace.backOff(0, 0.5, 900);
    expect(pace.dueMs).toBe(900_000);
    pace.backOff(0, 0.5, 99_999);
    expect(pace.dueMs).toBe(3_600_000);
  });
});

import { describe, expect, it } from 'vitest';
import { Histogram, median, slope, summarise } from './statistics.ts';

const hundred = Array.from({ length: 100 }, (_, index) => 100 - index);

describe('a summary', () => {
  it('takes the nearest rank, from values in any order', () => {
    expect(summarise([...hundred])).toEqual({
      ...{ count: 100, meanMs: 50.5, p50Ms: 50, p90Ms: 90, p99Ms: 99, maxMs: 100 },
    });
  });

  it('is not a number of nothing, rather than zero', () => {
    expect(summarise([]).p99Ms).toBeNaN();
    expect(new Histogram().summary().p99Ms).toBeNaN();
  });

  it('from a histogram is at most a bucket above the exact one, and never above the largest', () => {
    const histogram = new Histogram();
    for (const ms of hundred) histogram.add(ms);
    expect(histogram.summary()).toEqual({
      ...{ count: 100, meanMs: 50.5, p50Ms: 50.25, p90Ms: 90.25, p99Ms: 99.25, maxMs: 100 },
    });
  });
});

it('a median of an even count lies between the two in the middle', () => {
  expect([median([3, 1, 2]), median([4, 1, 3, 2]), median([])]).toEqual([2, 2.5, Number.NaN]);
});

it('a slope is the growth of y for each unit of x', () => {
  const points = [0, 1, 2, 3].map((x) => [x, 7 + 3 * x] as const);
  expect(slope(points)).toBeCloseTo(3, 9);
});

/** What is reported of many durations, in milliseconds. */
export interface Summary {
  readonly count: number;
  readonly meanMs: number;
  readonly p50Ms: number;
  readonly p90Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
}

/** Nearest rank; NaN of nothing. Sorts in place. */
export function summarise(durationsMs: number[]): Summary {
  durationsMs.sort((a, b) => a - b);
  const count = durationsMs.length;
  const rank = (q: number): number =>
    durationsMs[Math.max(0, Math.ceil(count * q) - 1)] ?? Number.NaN;
  return {
    count,
    meanMs: durationsMs.reduce((sum, one) => sum + one, 0) / count,
    p50Ms: rank(0.5),
    p90Ms: rank(0.9),
    p99Ms: rank(0.99),
    maxMs: rank(1),
  };
}

/** The middle one, or the mean of the two; NaN of nothing. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length / 2;
  const upper = sorted[Math.floor(middle)] ?? Number.NaN;
  const lower = sorted[Math.ceil(middle) - 1] ?? Number.NaN;
  return (upper + lower) / 2;
}

const BUCKET_MS = 0.25;
const BUCKETS = 80_000;

/** For more durations than one wants to keep: buckets of a quarter millisecond, up to 20 s. */
export class Histogram {
  readonly #buckets = new Uint32Array(BUCKETS);
  #count = 0;
  #sumMs = 0;
  #maxMs = 0;

  add(ms: number): void {
    const bucket = Math.min(BUCKETS - 1, Math.max(0, Math.floor(ms / BUCKET_MS)));
    this.#buckets[bucket] = (this.#buckets[bucket] ?? 0) + 1;
    this.#count += 1;
    this.#sumMs += ms;
    if (ms > this.#maxMs) this.#maxMs = ms;
  }

  /** Upper edges of buckets. */
  summary(): Summary {
    return {
      count: this.#count,
      meanMs: this.#sumMs / this.#count,
      p50Ms: this.#rank(0.5),
      p90Ms: this.#rank(0.9),
      p99Ms: this.#rank(0.99),
      maxMs: this.#maxMs,
    };
  }

  #rank(q: number): number {
    let rest = Math.ceil(this.#count * q);
    if (rest === 0) return Number.NaN;
    for (let bucket = 0; bucket < BUCKETS; bucket += 1) {
      rest -= this.#buckets[bucket] ?? 0;
      if (rest <= 0) return Math.min((bucket + 1) * BUCKET_MS, this.#maxMs);
    }
    return this.#maxMs;
  }
}

/** Least-squares slope of y over x; NaN of fewer than two points. */
export function slope(points: readonly (readonly [x: number, y: number])[]): number {
  const count = points.length;
  if (count < 2) return Number.NaN;
  const meanX = points.reduce((sum, [x]) => sum + x, 0) / count;
  const meanY = points.reduce((sum, [, y]) => sum + y, 0) / count;
  const covariance = points.reduce((sum, [x, y]) => sum + (x - meanX) * (y - meanY), 0);
  const variance = points.reduce((sum, [x]) => sum + (x - meanX) ** 2, 0);
  return covariance / variance;
}

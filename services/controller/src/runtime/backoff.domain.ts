export interface BackoffOptions {
  readonly firstMs: number;
  readonly maxMs: number;
}

/**
 * Exponential, with the upper half of each step left to chance: what failed together doesn't come
 * back together.
 *
 * @param failures so far, 1 or more
 * @param random from [0, 1)
 */
export function backoffMs(failures: number, random: number, options: BackoffOptions): number {
  const step = Math.min(options.maxMs, options.firstMs * 2 ** Math.min(failures - 1, 30));
  return step / 2 + (step / 2) * random;
}

/** @returns `ms` give or take a fifth. */
export function jittered(ms: number, random: number): number {
  return ms * (0.8 + 0.4 * random);
}

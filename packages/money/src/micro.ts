/**
 * Micro-credits: one micro-credit is one micro-dollar. Money is `bigint` in code, `bigint` in SQL
 * and a decimal string in JSON, so no path ever goes through a float.
 */
export type Micro = bigint;

/** The largest amount that fits PostgreSQL's `bigint`. */
export const MAX_MICRO: Micro = 2n ** 63n - 1n;

const DECIMAL = /^(?:0|-?[1-9][0-9]{0,18})$/;

/**
 * Reads the JSON form. Returns `undefined` for anything but a canonical decimal integer that fits
 * a signed 64-bit integer (no sign on zero, no leading zeros, no exponent, no white space).
 */
export function parseMicro(text: string): Micro | undefined {
  if (!DECIMAL.test(text)) return undefined;
  const value = BigInt(text);
  return value > MAX_MICRO || value < -MAX_MICRO - 1n ? undefined : value;
}

/** Writes the JSON form. */
export function formatMicro(amount: Micro): string {
  return amount.toString(10);
}

/**
 * For gauges and counters only, which are floats by nature: exact up to 2^53 micro-credits. Never
 * decide anything by it.
 */
export function microForMetric(amount: Micro): number {
  return Number(amount);
}

/** A decimal number as it was written, exact: `digits × 10^-scale`. */
export interface Decimal {
  readonly digits: bigint;
  readonly scale: number;
}

/** JSON's number, also inside a string, without a sign: nothing here is ever below zero. */
const NUMBER = /^(0|[1-9]\d*)(?:\.(\d+))?(?:[eE]([+-]?\d{1,3}))?$/;
/** Room for the smallest unit of any asset, and a bound for the work of comparing. */
const MAX_CHARACTERS = 60;
const MAX_EXPONENT = 60;

/** Undefined for what isn't a number of at most 60 characters that is zero or more. */
export function parseDecimal(text: string): Decimal | undefined {
  const match = text.length > MAX_CHARACTERS ? null : NUMBER.exec(text);
  if (match === null) return undefined;
  const [, whole = '', fraction = '', exponentText = '0'] = match;
  const exponent = Number(exponentText);
  if (Math.abs(exponent) > MAX_EXPONENT) return undefined;
  const scale = fraction.length - exponent;
  const digits = BigInt(whole + fraction);
  return scale >= 0 ? { digits, scale } : { digits: digits * 10n ** BigInt(-scale), scale: 0 };
}

/** Below, at or above zero as `a` is less than, equal to or more than `b`. */
export function compareDecimals(a: Decimal, b: Decimal): -1 | 0 | 1 {
  const scale = Math.max(a.scale, b.scale);
  const [left, right] = [a, b].map((one) => one.digits * 10n ** BigInt(scale - one.scale));
  if (left === right || left === undefined || right === undefined) return 0;
  return left < right ? -1 : 1;
}

const MICRO_SCALE = 6;

/** Whether the number is exactly that many millionths, as an amount in dollars and in micro-dollars. */
export function equalsMicro(amount: Decimal, micro: bigint): boolean {
  return compareDecimals(amount, { digits: micro, scale: MICRO_SCALE }) === 0;
}

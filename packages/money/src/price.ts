import type { Micro } from './micro.ts';

/** Prices are quoted in micro-credits per this many tokens. */
export const TOKENS_PER_PRICE_UNIT = 1_000_000n;

/** The least that a delivered answer costs. */
export const MINIMUM_CHARGE_MICRO: Micro = 1n;

/** What one pool's tokens cost, in micro-credits per million tokens. */
export interface TokenPrice {
  readonly promptPriceMicro: Micro;
  readonly completionPriceMicro: Micro;
}

/** Token counts of one answer; non-negative integers. */
export interface TokenCount {
  readonly promptTokens: number;
  readonly completionTokens: number;
}

/**
 * What `tokens` cost at `price`: prompt and completion are summed first and rounded up once;
 * never less than one micro-credit. The caller decides whether anything is owed at all.
 *
 * @throws RangeError when a count is negative, fractional or unsafe.
 */
export function priceTokens(price: TokenPrice, tokens: TokenCount): Micro {
  const raw =
    price.promptPriceMicro * toBigInt(tokens.promptTokens) +
    price.completionPriceMicro * toBigInt(tokens.completionTokens);
  const roundedUp = (raw + TOKENS_PER_PRICE_UNIT - 1n) / TOKENS_PER_PRICE_UNIT;
  return roundedUp > MINIMUM_CHARGE_MICRO ? roundedUp : MINIMUM_CHARGE_MICRO;
}

/**
 * The largest completion that `budgetMicro` pays for beside `promptTokens`; 0 when not even one
 * completion token fits. `priceTokens(price, {promptTokens, completionTokens: result})` never
 * exceeds the budget when the result is above 0.
 */
export function completionTokensWithin(
  price: TokenPrice,
  promptTokens: number,
  budgetMicro: Micro,
): number {
  const left =
    budgetMicro * TOKENS_PER_PRICE_UNIT - price.promptPriceMicro * toBigInt(promptTokens);
  if (left <= 0n) return 0;
  if (price.completionPriceMicro === 0n) return Number.MAX_SAFE_INTEGER;
  const tokens = left / price.completionPriceMicro;
  return tokens > BigInt(Number.MAX_SAFE_INTEGER) ? Number.MAX_SAFE_INTEGER : Number(tokens);
}

function toBigInt(count: number): bigint {
  if (!Number.isSafeInteger(count) || count < 0) {
    throw new RangeError(`a token count must be a non-negative integer, got ${String(count)}`);
  }
  return BigInt(count);
}

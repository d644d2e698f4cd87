import type { Pool as PoolName } from '@arrakis/contracts';
import { priceTokens, type TokenCount, type TokenPrice } from '@arrakis/money';
import type { Prng } from '../world/prng.ts';

/** Migration 004. A copy, so that the test doesn't believe what it tests. */
export const PRICES: Readonly<Record<PoolName, TokenPrice>> = {
  cheap: { promptPriceMicro: 150_000n, completionPriceMicro: 600_000n },
  standard: { promptPriceMicro: 400_000n, completionPriceMicro: 1_600_000n },
  reasoning: { promptPriceMicro: 1_100_000n, completionPriceMicro: 4_400_000n },
  architect: { promptPriceMicro: 3_000_000n, completionPriceMicro: 15_000_000n },
  flagship: { promptPriceMicro: 15_000_000n, completionPriceMicro: 75_000_000n },
};

/**
 * Below what finn itself counts for even the shortest prompt: an answer whose usage nobody named is
 * charged as finn counted it, and must not be taken for one of these.
 */
export const PROMPT_TOKENS = { least: 20, most: 60 } as const;
const TRIES = 1_000;

/**
 * Usage of which no two answers of a run cost the same, in whatever pool: a charge in the books
 * tells by itself which answer it is for. As vendors with hidden reasoning do, it claims more
 * completion tokens than it sends as text.
 */
export class UniqueUsage {
  readonly #prng: Prng;
  readonly #charges = new Set<bigint>();

  constructor(prng: Prng) {
    this.#prng = prng;
  }

  /**
   * @param least tokens of the text
   * @param most `max_tokens` of the request
   */
  next(pool: PoolName, least: number, most: number): TokenCount {
    for (let turn = 0; turn < TRIES; turn += 1) {
      const usage = {
        promptTokens: this.#prng.int(PROMPT_TOKENS.least, PROMPT_TOKENS.most),
        completionTokens: this.#prng.int(Math.min(least, most), most),
      };
      const charge = priceTokens(PRICES[pool], usage);
      if (this.#charges.has(charge)) continue;
      this.#charges.add(charge);
      return usage;
    }
    throw new Error(`no unused charge is left in ${pool} for max_tokens ${most}`);
  }
}

import { Type } from 'typebox';

/** Model pools, cheapest first. A fallback only ever moves towards the front of this list. */
export const POOLS = ['cheap', 'standard', 'reasoning', 'architect', 'flagship'] as const;
export const Pool = Type.Enum(POOLS);
export type Pool = (typeof POOLS)[number];

export const TIERS = ['free', 'standard', 'pro', 'enterprise'] as const;
export const Tier = Type.Enum(TIERS);
export type Tier = (typeof TIERS)[number];

interface TierPools {
  readonly default: Pool;
  readonly mayUse: readonly Pool[];
}

/** Which pool a tier gets, and which it may name. Both services read this one table. */
export const TIER_POOLS: Readonly<Record<Tier, TierPools>> = {
  free: { default: 'cheap', mayUse: ['cheap'] },
  standard: { default: 'cheap', mayUse: ['cheap', 'standard'] },
  pro: { default: 'reasoning', mayUse: ['cheap', 'standard', 'reasoning'] },
  enterprise: { default: 'architect', mayUse: POOLS },
};

/**
 * The pools to try, in order, for a request that was priced at `pool`: that pool, then the
 * cheaper ones the tier may use, dearest first. Never a dearer one: the hold wouldn't cover it.
 */
export function fallbackPools(tier: Tier, pool: Pool): readonly Pool[] {
  const allowed = TIER_POOLS[tier].mayUse;
  return POOLS.slice(0, POOLS.indexOf(pool) + 1)
    .reverse()
    .filter((candidate) => allowed.includes(candidate));
}

import type { ModelPrices } from '../ledger-model.domain.ts';
import type { Random } from './random.domain.ts';

/** What the histories are about: two communities, three keys, little money. */
export interface SimulatedKey {
  readonly id: string;
  readonly communityId: string;
  readonly requestsPerMinute: number;
  readonly tokensPerDay: number;
}

/** As migration 004 has them. */
export const SIMULATED_PRICES: ModelPrices = {
  cheap: { promptPriceMicro: 150_000n, completionPriceMicro: 600_000n },
  standard: { promptPriceMicro: 400_000n, completionPriceMicro: 1_600_000n },
};
export const SIMULATED_COMMUNITIES = ['c1', 'c2'] as const;

/** The first of all draws of a history, so that its keys can be told from its number. */
export function drawKeys(random: Random): SimulatedKey[] {
  return ['k1', 'k2', 'k3'].map((id, index) => ({
    id,
    communityId: SIMULATED_COMMUNITIES[index === 2 ? 1 : 0],
    requestsPerMinute: random.pick([1, 2, 3, 60]),
    tokensPerDay: random.pick([1_000, 2_000, 100_000, 100_000]),
  }));
}

import { POOLS, TIER_POOLS, type Pool, type Tier } from '@arrakis/contracts';

/** An OpenAI model id: an agent by slug or NFT id, and optionally the pool to think with. */
export interface ModelReference {
  readonly agent: string;
  readonly pool: Pool | undefined;
}

/** Longer than any NFT id with any pool. */
export const MODEL_ID_MAX_LENGTH = 200;

const SEPARATOR = '@';

/** Reads `<slug or nft_id>[@pool]`; `undefined` for a pool that doesn't exist. */
export function parseModel(model: string): ModelReference | undefined {
  const at = model.lastIndexOf(SEPARATOR);
  if (at === -1) return { agent: model, pool: undefined };
  const name = model.slice(at + 1);
  const pool = POOLS.find((candidate) => candidate === name);
  return pool === undefined ? undefined : { agent: model.slice(0, at), pool };
}

/** The ids under which a key of `tier` may call the agent: by its slug, then slug and each pool. */
export function modelIds(slug: string, tier: Tier): readonly string[] {
  return [slug, ...TIER_POOLS[tier].mayUse.map((pool) => `${slug}${SEPARATOR}${pool}`)];
}

import { NFT_ID_PATTERN, TIER_POOLS, type Pool, type Tier } from '@arrakis/contracts';

/** An NFT as something to talk to. */
export interface Agent {
  readonly nftId: string;
  readonly communityId: string;
  /** Unique within the community; the OpenAI model id. */
  readonly slug: string;
  readonly name: string;
  readonly tier: Tier;
  readonly preferredPool: Pool | undefined;
  readonly createdAt: Date;
}

export type AgentRef =
  | { readonly kind: 'slug'; readonly slug: string }
  | { readonly kind: 'nft'; readonly nftId: string };

const SLUG = /^[a-z0-9][a-z0-9-]{0,62}$/;
const NFT_ID = new RegExp(NFT_ID_PATTERN);
/** Longest NFT id: 10 digits, a contract address, 78 digits and two colons. */
const MAX_REF_CHARACTERS = 132;

/**
 * What a client's name for an agent means; `undefined` when no agent can be called that. A
 * contract address may come in mixed case, the checksum form in which wallets show it.
 */
export function parseAgentRef(text: string): AgentRef | undefined {
  if (text.length > MAX_REF_CHARACTERS) return undefined;
  if (SLUG.test(text)) return { kind: 'slug', slug: text };
  const nftId = text.toLowerCase();
  return NFT_ID.test(nftId) ? { kind: 'nft', nftId } : undefined;
}

export type PoolDecision =
  | { readonly ok: true; readonly tier: Tier; readonly pool: Pool }
  | { readonly ok: false; readonly code: 'pool_not_allowed'; readonly mayUse: readonly Pool[] };

/**
 * Which pool answers, and as which tier. The agent's tier decides, except that a sandbox key acts
 * as tier `free` whatever it talks to. A pool that the client names must be within the tier; the
 * agent's preferred pool is only a wish, passed over when it isn't.
 */
export function resolvePool(
  agent: Pick<Agent, 'tier' | 'preferredPool'>,
  requestedPool: Pool | undefined,
  principal: { readonly environment: 'live' | 'test' },
): PoolDecision {
  const tier = principal.environment === 'test' ? 'free' : agent.tier;
  const { default: defaultPool, mayUse } = TIER_POOLS[tier];
  if (requestedPool !== undefined) {
    return mayUse.includes(requestedPool)
      ? { ok: true, tier, pool: requestedPool }
      : { ok: false, code: 'pool_not_allowed', mayUse };
  }
  const { preferredPool } = agent;
  const isWithin = preferredPool !== undefined && mayUse.includes(preferredPool);
  return { ok: true, tier, pool: isWithin ? preferredPool : defaultPool };
}

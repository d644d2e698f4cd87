import { TIER_POOLS, type Pool, type Tier } from '@arrakis/contracts';
import { withTransaction, type Queryable } from '@arrakis/postgres';
import type pg from 'pg';
import { mintLot } from '../../../services/freeside/src/features/ledger/lot.service.ts';
import type { System } from '../../support/system.ts';
import type { Agent, Community, CommunityPlan } from '../types.ts';
import { createPrng } from './prng.ts';

const MEMBER = 'Demo Developer';

/**
 * One hot, one poor, three others, of all paying tiers; what they have is drawn from the seed. And
 * one that has what it buys.
 */
export function planCommunities(seed: number): CommunityPlan[] {
  const prng = createPrng(seed, 'communities');
  const lots = (count: number, least: number, most: number): bigint[] =>
    Array.from({ length: count }, () => BigInt(prng.int(least, most)));
  const rich = { hot: false, poor: false, prepaid: false, apiKeys: 1 };
  return [
    {
      slug: 'hot',
      tier: 'enterprise',
      lotsMicro: lots(3, 2e8, 9e8),
      ...rich,
      hot: true,
      apiKeys: 2,
    },
    { slug: 'poor', tier: 'standard', lotsMicro: lots(2, 4_000, 12_000), ...rich, poor: true },
    { slug: 'pro', tier: 'pro', lotsMicro: lots(1, 1e8, 9e8), ...rich },
    // Many small lots: charges are split over them.
    {
      slug: 'split',
      tier: 'enterprise',
      lotsMicro: [...lots(40, 900, 90_000), 400_000_000n],
      ...rich,
    },
    { slug: 'plain', tier: 'standard', lotsMicro: lots(1, 1e8, 9e8), ...rich },
    { slug: 'prepaid', tier: 'enterprise', lotsMicro: [], ...rich, prepaid: true },
  ];
}

/** Makes them: rows as the owner of the schema, credits by `mint_lot`, keys by our command. */
export async function makeCommunities(
  db: pg.Pool,
  system: System,
  plans: readonly CommunityPlan[],
): Promise<Community[]> {
  const made = await withTransaction(db, async (tx) => {
    const rows: { id: string; agents: [Agent, ...Agent[]] }[] = [];
    for (const [index, plan] of plans.entries()) {
      rows.push(await insertCommunity(tx, plan, index + 1));
    }
    return rows;
  });
  return Promise.all(
    plans.map(async (plan, index) => {
      const keys = Array.from({ length: Math.max(1, plan.apiKeys) }, () =>
        system.createApiKey(plan.slug, MEMBER),
      );
      const [firstKey, ...otherKeys] = await Promise.all(keys);
      const { id, agents } = made[index]!;
      return {
        id,
        slug: plan.slug,
        apiKeys: [firstKey!, ...otherKeys],
        agents,
        hot: plan.hot,
        poor: plan.poor,
        prepaid: plan.prepaid,
        fundedMicro: plan.lotsMicro.reduce((sum, lot) => sum + lot, 0n),
      };
    }),
  );
}

async function insertCommunity(
  tx: Queryable,
  plan: CommunityPlan,
  number: number,
): Promise<{ id: string; agents: [Agent, ...Agent[]] }> {
  const { rows } = await tx.query<{ id: string }>(
    'INSERT INTO freeside.communities (slug, name, tier) VALUES ($1, $1, $2) RETURNING id',
    [plan.slug, plan.tier],
  );
  const id = rows[0]!.id;
  await tx.query(
    `INSERT INTO freeside.community_members (community_id, display_name, role)
     VALUES ($1, $2, 'developer')`,
    [id, MEMBER],
  );
  const [first, ...others] = agentsOf(plan.tier, number);
  for (const agent of [first, ...others]) await insertAgent(tx, id, plan.tier, agent);
  for (const [index, amountMicro] of plan.lotsMicro.entries()) {
    await mintLot(tx, {
      communityId: id,
      amountMicro,
      source: 'grant',
      sourceRef: `crash:${plan.slug}:${String(index)}`,
      expiresAt: null,
    });
  }
  return { id, agents: [first, ...others] };
}

/** One for each pool that the tier may use, so that prices differ. */
function agentsOf(tier: Tier, number: number): [Agent, ...Agent[]] {
  const agent = (pool: Pool, index: number): Agent => ({
    nftId: `1:0x${number.toString(16).padStart(40, '0')}:${String(index + 1)}`,
    slug: `agent-${pool}`,
    pool,
  });
  const [first = 'cheap', ...others] = TIER_POOLS[tier].mayUse;
  return [agent(first, 0), ...others.map((pool, index) => agent(pool, index + 1))];
}

async function insertAgent(
  tx: Queryable,
  communityId: string,
  tier: Tier,
  agent: Agent,
): Promise<void> {
  await tx.query(
    'INSERT INTO freeside.nfts (id, community_id, slug, tier) VALUES ($1, $2, $3, $4)',
    [agent.nftId, communityId, agent.slug, tier],
  );
  await tx.query('INSERT INTO freeside.nft_metadata (nft_id, metadata) VALUES ($1, $2)', [
    agent.nftId,
    JSON.stringify({ name: agent.slug, description: 'Answers whatever happens.' }),
  ]);
  await tx.query(
    'INSERT INTO freeside.personality_configs (nft_id, preferred_pool) VALUES ($1, $2)',
    [agent.nftId, agent.pool],
  );
}

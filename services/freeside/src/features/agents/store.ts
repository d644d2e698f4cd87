import type { Pool, Tier } from '@arrakis/contracts';
import type { Queryable } from '@arrakis/postgres';
import type { Agent, AgentRef } from './agent.domain.ts';

interface AgentRow {
  readonly id: string;
  readonly community_id: string;
  readonly slug: string;
  readonly name: string;
  readonly tier: Tier;
  readonly preferred_pool: Pool | null;
  readonly created_at: Date;
}

/** The active agent of that community; an agent of another one is as absent as one that never was. */
export async function findAgent(
  db: Queryable,
  communityId: string,
  ref: AgentRef,
): Promise<Agent | undefined> {
  const { rows } = await db.query<AgentRow>(
    `SELECT n.id, n.community_id, n.slug,
            left(coalesce(nullif(btrim(m.metadata ->> 'name'), ''), n.slug), 120) AS name,
            n.tier, p.preferred_pool, n.created_at
       FROM freeside.nfts n
       LEFT JOIN freeside.nft_metadata m ON m.nft_id = n.id
       LEFT JOIN freeside.personality_configs p ON p.nft_id = n.id
      WHERE n.community_id = $1 AND n.is_active AND (n.slug = $2 OR n.id = $3)`,
    [communityId, ref.kind === 'slug' ? ref.slug : null, ref.kind === 'nft' ? ref.nftId : null],
  );
  const row = rows[0];
  return row === undefined ? undefined : toAgent(row);
}

/** The active agents of a community by slug, at most `limit`. */
export async function listAgents(
  db: Queryable,
  communityId: string,
  limit: number,
): Promise<Agent[]> {
  const { rows } = await db.query<AgentRow>(
    `SELECT n.id, n.community_id, n.slug,
            left(coalesce(nullif(btrim(m.metadata ->> 'name'), ''), n.slug), 120) AS name,
            n.tier, p.preferred_pool, n.created_at
       FROM freeside.nfts n
       LEFT JOIN freeside.nft_metadata m ON m.nft_id = n.id
       LEFT JOIN freeside.personality_configs p ON p.nft_id = n.id
      WHERE n.community_id = $1 AND n.is_active
      ORDER BY n.slug LIMIT $2`,
    [communityId, limit],
  );
  return rows.map(toAgent);
}

function toAgent(row: AgentRow): Agent {
  return Object.freeze({
    nftId: row.id,
    communityId: row.community_id,
    slug: row.slug,
    name: row.name,
    tier: row.tier,
    preferredPool: row.preferred_pool ?? undefined,
    createdAt: row.created_at,
  });
}

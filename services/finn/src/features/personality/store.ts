import type { Queryable } from '@arrakis/postgres';

export interface AgentRow {
  readonly communityId: string;
  readonly slug: string;
  readonly metadata: unknown;
  readonly emphasis: readonly string[];
}

/** A database behind a silent network: the caller is told to come back instead of waiting. */
const QUERY_TIMEOUT_MS = 3_000;

const FIND_AGENT = {
  query_timeout: QUERY_TIMEOUT_MS,
  text: `SELECT n.community_id AS "communityId", n.slug, m.metadata,
                coalesce(c.emphasis, '{}') AS emphasis
           FROM freeside.nfts n
           LEFT JOIN freeside.nft_metadata m ON m.nft_id = n.id
           LEFT JOIN freeside.personality_configs c ON c.nft_id = n.id
          WHERE n.id = $1 AND n.is_active`,
} as const;

/** What is known of an NFT that may be talked to; `undefined` when there is none such. */
export async function findAgent(db: Queryable, nftId: string): Promise<AgentRow | undefined> {
  const statement = { ...FIND_AGENT, values: [nftId] };
  const { rows } = await db.query<AgentRow>(statement);
  return rows[0];
}

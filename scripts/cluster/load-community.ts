import type { Queryable } from '@arrakis/postgres';
import { MAX_LIVE_LIMITS } from '../../services/freeside/src/features/api-keys/api-key.domain.ts';
import { mintLot } from '../../services/freeside/src/features/ledger/lot.service.ts';
import type { KeyOwner } from './adopt-key.ts';

/**
 * A community for load tests: what it spends disturbs nobody's balance, and nobody's spending its.
 */

const SLUG = 'load';
const MEMBER = 'Load Tester';
const AGENT = { id: '1:0x0000000000000000000000000000000000010ad0:1', slug: 'load-agent' };
/** A thousand dollars: hours of load. */
const CREDITS_MICRO = 1_000_000_000n;

/** Wide enough that the load meets the platform and not the key's own limits. */
export const LOAD_LIMITS = MAX_LIVE_LIMITS;

/**
 * Makes it complete; running it again changes nothing and mints nothing. To be called inside a
 * transaction that holds the seed's lock, as the role that owns the tables.
 */
export async function seedLoadCommunity(tx: Queryable): Promise<KeyOwner> {
  await tx.query(
    `INSERT INTO freeside.communities (slug, name, tier) VALUES ($1, 'Load tests', 'enterprise')
     ON CONFLICT (slug) DO NOTHING`,
    [SLUG],
  );
  const communityId = await onlyId(tx, 'SELECT id FROM freeside.communities WHERE slug = $1', [
    SLUG,
  ]);
  await tx.query(
    `INSERT INTO freeside.community_members (community_id, display_name, role)
     SELECT $1, $2, 'developer' WHERE NOT EXISTS (
       SELECT FROM freeside.community_members WHERE community_id = $1 AND display_name = $2)`,
    [communityId, MEMBER],
  );
  const memberId = await onlyId(
    tx,
    `SELECT id FROM freeside.community_members WHERE community_id = $1 AND display_name = $2
      ORDER BY created_at, id LIMIT 1`,
    [communityId, MEMBER],
  );
  await tx.query(
    `INSERT INTO freeside.nfts (id, community_id, slug, tier) VALUES ($1, $2, $3, 'enterprise')
     ON CONFLICT (id) DO NOTHING`,
    [AGENT.id, communityId, AGENT.slug],
  );
  const source = { source: 'seed', sourceRef: 'seed:load:credits', expiresAt: null } as const;
  await mintLot(tx, { communityId, amountMicro: CREDITS_MICRO, ...source });
  return { communityId, memberId };
}

async function onlyId(tx: Queryable, sql: string, values: readonly string[]): Promise<string> {
  const { rows } = await tx.query<{ id: string }>(sql, [...values]);
  const id = rows[0]?.id;
  if (id === undefined) throw new Error('the seed found no row where one must be');
  return id;
}

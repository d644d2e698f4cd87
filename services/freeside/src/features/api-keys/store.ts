import type { Tier } from '@arrakis/contracts';
import type { Queryable } from '@arrakis/postgres';
import type { ApiKeyRecord, ApiKeySummary, KeyLimits } from './api-key.domain.ts';
import { environmentOf } from './api-key-format.domain.ts';
import type { KeyHash } from './key-hash.ts';

interface RecordRow {
  readonly id: string;
  readonly user_id: string;
  readonly community_id: string;
  readonly community_tier: Tier;
  readonly key_prefix: string;
  readonly key_hash: Buffer;
  readonly key_salt: Buffer;
  readonly pepper_version: number;
  readonly scopes: string[];
  readonly is_active: boolean;
}

/** The records of those of `keyPrefixes` that exist, revoked ones included. */
export async function findRecords(
  db: Queryable,
  keyPrefixes: readonly string[],
): Promise<ApiKeyRecord[]> {
  const { rows } = await db.query<RecordRow>(
    `SELECT k.id, k.user_id, k.community_id, c.tier AS community_tier, k.key_prefix, k.key_hash,
            k.key_salt, k.pepper_version, k.scopes, k.is_active AND c.is_active AS is_active
       FROM freeside.api_keys k
       JOIN freeside.communities c ON c.id = k.community_id
      WHERE k.key_prefix = ANY ($1::text[])`,
    [keyPrefixes],
  );
  return rows.map((row) => ({
    principal: Object.freeze({
      keyId: row.id,
      userId: row.user_id,
      communityId: row.community_id,
      communityTier: row.community_tier,
      environment: environmentOf(row.key_prefix),
      scopes: Object.freeze(row.scopes),
    }),
    keyPrefix: row.key_prefix,
    keyHash: row.key_hash,
    keySalt: row.key_salt,
    pepperVersion: row.pepper_version,
    isActive: row.is_active,
  }));
}

export interface Member {
  readonly userId: string;
  readonly userName: string;
}

export interface Community {
  readonly communityId: string;
  readonly slug: string;
}

export async function findCommunity(db: Queryable, slug: string): Promise<Community | undefined> {
  const { rows } = await db.query<{ id: string; slug: string }>(
    'SELECT id, slug FROM freeside.communities WHERE slug = $1',
    [slug],
  );
  const row = rows[0];
  return row === undefined ? undefined : { communityId: row.id, slug: row.slug };
}

/** Members of one community whose id or whole name is `idOrName`; a name may stand for several. */
export async function findMembers(
  db: Queryable,
  communityId: string,
  idOrName: string,
): Promise<Member[]> {
  const { rows } = await db.query<{ id: string; display_name: string }>(
    `SELECT id, display_name FROM freeside.community_members
      WHERE community_id = $1 AND (id::text = lower($2) OR display_name = $2)
      ORDER BY created_at, id LIMIT 20`,
    [communityId, idOrName],
  );
  return rows.map((row) => ({ userId: row.id, userName: row.display_name }));
}

/** The first few members of a community, for a message that offers them. */
export async function listMembers(db: Queryable, communityId: string): Promise<Member[]> {
  const { rows } = await db.query<{ id: string; display_name: string }>(
    `SELECT id, display_name FROM freeside.community_members
      WHERE community_id = $1 ORDER BY created_at, id LIMIT 10`,
    [communityId],
  );
  return rows.map((row) => ({ userId: row.id, userName: row.display_name }));
}

/**
 * Makes the changes of one user's keys wait for each other until the transaction ends. False when
 * the community has no such member.
 */
export async function lockMember(
  tx: Queryable,
  communityId: string,
  userId: string,
): Promise<boolean> {
  const { rows } = await tx.query(
    `SELECT 1 FROM freeside.community_members
      WHERE id = $1 AND community_id = $2 FOR NO KEY UPDATE`,
    [userId, communityId],
  );
  return rows.length === 1;
}

export async function countActive(db: Queryable, userId: string): Promise<number> {
  const { rows } = await db.query<{ active: number }>(
    `SELECT count(*)::int AS active FROM freeside.api_keys WHERE user_id = $1 AND is_active`,
    [userId],
  );
  return rows[0]?.active ?? 0;
}

export interface NewKey extends KeyHash {
  readonly userId: string;
  readonly communityId: string;
  readonly keyPrefix: string;
  readonly name: string;
  readonly scopes: readonly string[];
  readonly limits: KeyLimits;
}

/** Inserts the key and returns its id; a trigger of the table gives it its limit counters. */
export async function insertKey(tx: Queryable, key: NewKey): Promise<string> {
  const { rows } = await tx.query<{ id: string }>(
    `INSERT INTO freeside.api_keys (user_id, community_id, key_prefix, key_hash, key_salt,
       pepper_version, name, scopes, rate_limit_rpm, rate_limit_tpd)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
     RETURNING id`,
    [
      key.userId,
      key.communityId,
      key.keyPrefix,
      key.keyHash,
      key.keySalt,
      key.pepperVersion,
      key.name,
      key.scopes,
      key.limits.requestsPerMinute,
      key.limits.tokensPerDay,
    ],
  );
  const row = rows[0];
  if (row === undefined) throw new Error('inserting an API key returned no row');
  return row.id;
}

/** False when the key was revoked before. */
export async function revokeKey(tx: Queryable, keyId: string): Promise<boolean> {
  const { rows } = await tx.query(
    `UPDATE freeside.api_keys SET is_active = false, revoked_at = now()
      WHERE id = $1 AND is_active RETURNING id`,
    [keyId],
  );
  return rows.length === 1;
}

interface SummaryRow {
  readonly id: string;
  readonly key_prefix: string;
  readonly name: string;
  readonly user_id: string;
  readonly user_name: string;
  readonly community_id: string;
  readonly community_slug: string;
  readonly scopes: string[];
  readonly rate_limit_rpm: number;
  readonly rate_limit_tpd: bigint;
  readonly pepper_version: number;
  readonly is_active: boolean;
  readonly created_at: Date;
  readonly last_used_at: Date | null;
  readonly revoked_at: Date | null;
}

export interface KeyFilter {
  readonly communityId?: string | undefined;
  readonly userId?: string | undefined;
  /** The key's id or its prefix. */
  readonly ref?: string | undefined;
  readonly includeRevoked: boolean;
}

/** Keys from newest to oldest, at most 1,000. */
export async function listKeys(db: Queryable, filter: KeyFilter): Promise<ApiKeySummary[]> {
  const { rows } = await db.query<SummaryRow>(
    `SELECT k.id, k.key_prefix, k.name, k.user_id, m.display_name AS user_name, k.community_id,
            c.slug AS community_slug, k.scopes, k.rate_limit_rpm, k.rate_limit_tpd,
            k.pepper_version, k.is_active, k.created_at, k.last_used_at, k.revoked_at
       FROM freeside.api_keys k
       JOIN freeside.community_members m ON m.id = k.user_id
       JOIN freeside.communities c ON c.id = k.community_id
      WHERE ($1::uuid IS NULL OR k.community_id = $1)
        AND ($2::uuid IS NULL OR k.user_id = $2)
        AND ($3::text IS NULL OR k.key_prefix = $3 OR k.id::text = lower($3))
        AND ($4 OR k.is_active)
      ORDER BY k.created_at DESC, k.id LIMIT 1000`,
    [filter.communityId ?? null, filter.userId ?? null, filter.ref ?? null, filter.includeRevoked],
  );
  return rows.map(toSummary);
}

function toSummary(row: SummaryRow): ApiKeySummary {
  return {
    keyId: row.id,
    keyPrefix: row.key_prefix,
    environment: environmentOf(row.key_prefix),
    name: row.name,
    userId: row.user_id,
    userName: row.user_name,
    communityId: row.community_id,
    communitySlug: row.community_slug,
    scopes: row.scopes,
    limits: {
      requestsPerMinute: row.rate_limit_rpm,
      tokensPerDay: Number(row.rate_limit_tpd),
    },
    pepperVersion: row.pepper_version,
    isActive: row.is_active,
    createdAt: row.created_at,
    lastUsedAt: row.last_used_at ?? undefined,
    revokedAt: row.revoked_at ?? undefined,
  };
}

/**
 * Notes when keys were last used, all in one statement. A row that somebody else holds is skipped:
 * two replicas that write the same keys never wait for each other, let alone deadlock.
 */
export async function touchLastUsed(
  db: Queryable,
  used: readonly { readonly keyId: string; readonly usedAt: Date }[],
): Promise<void> {
  await db.query(
    `WITH used AS (
       SELECT * FROM unnest($1::uuid[], $2::timestamptz[]) AS u (id, used_at)
     ), free AS (
       SELECT k.id FROM freeside.api_keys k JOIN used USING (id)
        WHERE k.last_used_at IS NULL OR k.last_used_at < used.used_at
        FOR NO KEY UPDATE OF k SKIP LOCKED
     )
     UPDATE freeside.api_keys k SET last_used_at = used.used_at
       FROM used JOIN free USING (id) WHERE k.id = used.id`,
    [used.map((use) => use.keyId), used.map((use) => use.usedAt)],
  );
}

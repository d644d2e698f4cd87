import type { S2SIssuer } from '@arrakis/contracts';
import type { Queryable } from '@arrakis/postgres';

/** The public half of a signing key, as published. */
export interface PublishedKey {
  readonly kid: string;
  readonly issuer: S2SIssuer;
  readonly x: string;
  readonly y: string;
  readonly createdAt: Date;
  readonly expiresAt: Date;
}

interface KeyRow {
  readonly kid: string;
  readonly issuer: S2SIssuer;
  readonly x: string;
  readonly y: string;
  readonly created_at: Date;
  readonly expires_at: Date;
}

/** Keys that verify now, newest first; at most 32, the most that a key set may hold. */
export async function findCurrentKeys(db: Queryable): Promise<PublishedKey[]> {
  const { rows } = await db.query<KeyRow>(
    `SELECT kid, issuer, x, y, created_at, expires_at
       FROM freeside.s2s_jwks_public_keys
      WHERE expires_at > now()
      ORDER BY created_at DESC, kid LIMIT 32`,
  );
  return rows.map(toPublishedKey);
}

/** All keys of one issuer, expired ones included, newest first. */
export async function listKeysOf(db: Queryable, issuer: S2SIssuer): Promise<PublishedKey[]> {
  const { rows } = await db.query<KeyRow>(
    `SELECT kid, issuer, x, y, created_at, expires_at
       FROM freeside.s2s_jwks_public_keys
      WHERE issuer = $1
      ORDER BY created_at DESC, kid LIMIT 1000`,
    [issuer],
  );
  return rows.map(toPublishedKey);
}

/** False when the kid is published with other coordinates or for another issuer. */
export async function publishKey(
  db: Queryable,
  key: Omit<PublishedKey, 'createdAt'>,
): Promise<boolean> {
  await db.query(
    `INSERT INTO freeside.s2s_jwks_public_keys (kid, kty, crv, x, y, issuer, expires_at)
     VALUES ($1, 'EC', 'P-256', $2, $3, $4, $5)
     ON CONFLICT (kid) DO NOTHING`,
    [key.kid, key.x, key.y, key.issuer, key.expiresAt],
  );
  const { rows } = await db.query(
    `SELECT 1 FROM freeside.s2s_jwks_public_keys
      WHERE kid = $1 AND x = $2 AND y = $3 AND issuer = $4`,
    [key.kid, key.x, key.y, key.issuer],
  );
  return rows.length === 1;
}

export async function setExpiry(db: Queryable, kid: string, expiresAt: Date): Promise<void> {
  // Our clock may be behind the database's, and a key can't expire before it was made.
  await db.query(
    `UPDATE freeside.s2s_jwks_public_keys
        SET expires_at = greatest($2, created_at + interval '1 microsecond')
      WHERE kid = $1`,
    [kid, expiresAt],
  );
}

/** Takes a key out of the set at once. */
export async function deleteKey(db: Queryable, kid: string): Promise<void> {
  await db.query('DELETE FROM freeside.s2s_jwks_public_keys WHERE kid = $1', [kid]);
}

function toPublishedKey(row: KeyRow): PublishedKey {
  return {
    kid: row.kid,
    issuer: row.issuer,
    x: row.x,
    y: row.y,
    createdAt: row.created_at,
    expiresAt: row.expires_at,
  };
}

import type { AuditRecord, Head, Signature } from '@arrakis/audit';
import { sqlState, withTransaction, type Queryable } from '@arrakis/postgres';
import type { Pool } from 'pg';

export interface SealedBatch {
  /** Of the last link. */
  readonly sequence: bigint;
  /** 0 when nothing waited. */
  readonly records: number;
  /** The limit cut it short: another batch waits. */
  readonly more: boolean;
  /** Equations of the books that did not hold. */
  readonly violations: bigint;
}

const SERIALIZATION_FAILURE = '40001';
/**
 * Longer than the role's own: while somebody's transaction stays open for hours, the marks stay where
 * they are, and a batch looks through all that was sealed since, until one of them has lifted them.
 */
const AS_A_SEALER = `SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; SET LOCAL statement_timeout = '10min'`;
const SEAL_BATCH = {
  query_timeout: 610_000,
  text: 'SELECT sequence, records, more, violations FROM freeside.seal_audit_batch($1)',
} as const;

/** @returns `undefined` when another sealer is at it, or has just been. */
export async function sealBatch(pool: Pool, atMost: number): Promise<SealedBatch | undefined> {
  try {
    return await withTransaction(pool, async (tx) => {
      await tx.query(AS_A_SEALER);
      const { rows } = await tx.query<SealedBatch>({ ...SEAL_BATCH, values: [atMost] });
      return rows[0];
    });
  } catch (error) {
    if (sqlState(error) === SERIALIZATION_FAILURE) return undefined;
    throw error;
  }
}

/** When the oldest operation was made that has no record yet; `undefined` when all have one. */
export async function oldestUnsealed(db: Queryable): Promise<Date | undefined> {
  const { rows } = await db.query<{ oldest: Date | null }>(
    'SELECT freeside.audit_oldest_unsealed() AS oldest',
  );
  return rows[0]?.oldest ?? undefined;
}

export interface StoredCheckpoint {
  readonly sequence: bigint;
  readonly first: bigint;
  /** The text that was hashed. */
  readonly body: string;
  readonly hash: string;
  readonly sealedAt: Date;
  readonly signature: Signature | undefined;
}

interface CheckpointRow {
  sequence: bigint;
  first_sequence: bigint;
  body: string;
  hash: Buffer;
  sealed_at: Date;
  kid: string | null;
  signature: Buffer | null;
}

export async function nextCheckpoint(
  db: Queryable,
  after: bigint,
): Promise<StoredCheckpoint | undefined> {
  const { rows } = await db.query<CheckpointRow>(
    `SELECT c.sequence, c.first_sequence, c.body, c.hash, c.sealed_at, s.kid, s.signature
     FROM freeside.audit_checkpoints c LEFT JOIN freeside.audit_signatures s USING (sequence)
     WHERE c.sequence > $1 ORDER BY c.sequence LIMIT 1`,
    [after],
  );
  return rows[0] && toCheckpoint(rows[0]);
}

export async function lastCheckpoint(db: Queryable): Promise<StoredCheckpoint | undefined> {
  const { rows } = await db.query<CheckpointRow>(
    `SELECT c.sequence, c.first_sequence, c.body, c.hash, c.sealed_at, s.kid, s.signature
     FROM freeside.audit_checkpoints c LEFT JOIN freeside.audit_signatures s USING (sequence)
     ORDER BY c.sequence DESC LIMIT 1`,
  );
  return rows[0] && toCheckpoint(rows[0]);
}

export async function findCheckpoint(
  db: Queryable,
  sequence: bigint,
): Promise<StoredCheckpoint | undefined> {
  const next = await nextCheckpoint(db, sequence - 1n);
  return next?.sequence === sequence ? next : undefined;
}

/** The newest one with a signature under that name. */
export async function lastSignedBy(
  db: Queryable,
  kid: string,
): Promise<StoredCheckpoint | undefined> {
  const { rows } = await db.query<CheckpointRow>(
    `SELECT c.sequence, c.first_sequence, c.body, c.hash, c.sealed_at, s.kid, s.signature
     FROM freeside.audit_signatures s JOIN freeside.audit_checkpoints c USING (sequence)
     WHERE s.kid = $1 ORDER BY s.sequence DESC LIMIT 1`,
    [kid],
  );
  return rows[0] && toCheckpoint(rows[0]);
}

function toCheckpoint(row: CheckpointRow): StoredCheckpoint {
  const signed = row.kid !== null && row.signature !== null;
  return {
    sequence: row.sequence,
    first: row.first_sequence,
    body: row.body,
    hash: row.hash.toString('hex'),
    sealedAt: row.sealed_at,
    signature: signed
      ? { kid: row.kid ?? '', value: row.signature?.toString('base64url') ?? '' }
      : undefined,
  };
}

export interface StoredRecord {
  readonly record: AuditRecord;
  readonly hash: string;
}

interface RecordRow {
  sequence: bigint;
  source: AuditRecord['source'];
  source_id: bigint;
  at: string;
  community_id: string;
  kind: string;
  from_account: string | null;
  to_account: string | null;
  amount_micro: bigint;
  reservation_id: string | null;
  lot_id: string | null;
  hash: string;
}

/** Records `first` to `last`, both included, in order. */
export async function readRecords(
  db: Queryable,
  first: bigint,
  last: bigint,
): Promise<StoredRecord[]> {
  const { rows } = await db.query<RecordRow>(
    `SELECT sequence, source, source_id, freeside.audit_time(recorded_at) AS at, community_id, kind,
            from_account, to_account, amount_micro, reservation_id, lot_id, encode(hash, 'hex') AS hash
     FROM freeside.audit_records WHERE sequence BETWEEN $1 AND $2 ORDER BY sequence`,
    [first, last],
  );
  return rows.map((row) => ({
    hash: row.hash,
    record: {
      sequence: row.sequence,
      source: row.source,
      id: row.source_id,
      at: row.at,
      community: row.community_id,
      kind: row.kind,
      from: row.from_account,
      to: row.to_account,
      amountMicro: row.amount_micro,
      reservation: row.reservation_id,
      lot: row.lot_id,
    },
  }));
}

/** @returns false when the checkpoint had a signature already. */
export async function storeSignature(
  db: Queryable,
  head: Head,
  signature: { readonly kid: string; readonly bytes: Buffer },
): Promise<boolean> {
  const { rows } = await db.query<{ signed: boolean }>(
    'SELECT freeside.sign_audit_checkpoint($1, $2, $3) AS signed',
    [head.sequence, signature.kid, signature.bytes],
  );
  return rows[0]?.signed === true;
}

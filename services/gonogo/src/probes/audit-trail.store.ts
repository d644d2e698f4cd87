import { checkpointLine, recordBody, recordLine, type AuditRecord } from '@arrakis/audit';
import type { Queryable } from '@arrakis/postgres';

/** Links up to a checkpoint and with it, as an export has them. */
export interface TrailBatch {
  /** Of the checkpoint. */
  readonly sequence: bigint;
  readonly lines: readonly string[];
  readonly isSigned: boolean;
  /** Since the checkpoint was sealed. */
  readonly ageSeconds: number;
}

interface CheckpointRow {
  readonly sequence: bigint;
  readonly body: string;
  readonly hash: string;
  readonly age: number;
  readonly kid: string | null;
  readonly signature: Buffer | null;
}

type RecordRow = AuditRecord & { readonly hash: string };

/** The batch after that sequence; `undefined` after the last. */
export async function readBatch(db: Queryable, after: bigint): Promise<TrailBatch | undefined> {
  const { rows } = await db.query<CheckpointRow>(
    `SELECT c.sequence, c.body, encode(c.hash, 'hex') AS hash, s.kid, s.signature,
       extract(epoch FROM now() - c.sealed_at)::float8 AS age
     FROM freeside.audit_checkpoints c LEFT JOIN freeside.audit_signatures s USING (sequence)
     WHERE c.sequence > $1 ORDER BY c.sequence LIMIT 1`,
    [after],
  );
  const [checkpoint] = rows;
  if (checkpoint === undefined) return undefined;
  const { sequence, body, hash, kid, signature, age } = checkpoint;
  const signed =
    kid === null || signature === null
      ? undefined
      : { kid, value: signature.toString('base64url') };
  const records = await readRecords(db, after + 1n, sequence - 1n);
  const lines = records.map((record) => recordLine(recordBody(record), record.hash));
  lines.push(checkpointLine(body, hash, signed));
  return { sequence, lines, isSigned: signed !== undefined, ageSeconds: age };
}

async function readRecords(db: Queryable, first: bigint, last: bigint): Promise<RecordRow[]> {
  const { rows } = await db.query<RecordRow>(
    `SELECT sequence, source, source_id AS id, freeside.audit_time(recorded_at) AS at,
       community_id AS community, kind, from_account AS "from", to_account AS "to",
       amount_micro AS "amountMicro", reservation_id AS reservation, lot_id AS lot,
       encode(hash, 'hex') AS hash
     FROM freeside.audit_records WHERE sequence BETWEEN $1 AND $2 ORDER BY sequence`,
    [first, last],
  );
  return rows;
}

/** Age of the oldest operation that has no record; 0 when all have one. */
export async function unsealedSeconds(db: Queryable): Promise<number> {
  const { rows } = await db.query<{ age: number }>(
    `SELECT COALESCE(extract(epoch FROM now() - freeside.audit_oldest_unsealed()), 0)::float8 AS age`,
  );
  return rows[0]?.age ?? 0;
}

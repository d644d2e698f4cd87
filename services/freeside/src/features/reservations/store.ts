import { wasRepeated, type Queryable } from '@arrakis/postgres';
import type { HoldRequest } from './reservation.domain.ts';
import type {
  HoldVerdict,
  SettlementInput,
  SettlementOutcome,
  SettlementResult,
} from './settlement.domain.ts';

interface BatchRow {
  operation: 'settlement' | 'hold';
  outcome: string;
  charge_micro: bigint | null;
  written_off_micro: bigint | null;
  required_micro: bigint;
  available_micro: bigint | null;
  version: number;
  prompt_price_micro: bigint;
  completion_price_micro: bigint;
  rpm: number | null;
  rpm_used: number;
  rpm_resets_at: Date;
  tpd: bigint;
  tpd_used: bigint;
  tpd_resets_at: Date;
}

/**
 * Longer than the role's own `statement_timeout`: only a connection that died without a word gets
 * here, and everybody waits behind it.
 */
const ANSWER_TIMEOUT_MS = 20_000;

const APPLY_BATCH = {
  query_timeout: ANSWER_TIMEOUT_MS,
  name: 'apply_ledger_batch',
  text: `SELECT operation, outcome, charge_micro, written_off_micro, required_micro, available_micro, version,
           prompt_price_micro, completion_price_micro, rpm, rpm_used, rpm_resets_at, tpd, tpd_used, tpd_resets_at
         FROM freeside.apply_ledger_batch($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)
         ORDER BY operation DESC, n`,
} as const;

/**
 * Applies settlements, then decides holds, in one statement and one commit. Rows come back in the
 * order of the arguments.
 *
 * @throws pg's DatabaseError; nothing was applied then, unless the connection broke in between.
 */
export async function applyLedgerBatch(
  db: Queryable,
  settlements: readonly SettlementInput[],
  holds: readonly HoldRequest[],
): Promise<{ settlements: SettlementResult[]; holds: HoldVerdict[] }> {
  const result = await db.query<BatchRow>({
    ...APPLY_BATCH,
    values: [
      settlements.map((s) => s.reservationId),
      settlements.map((s) => s.action),
      settlements.map((s) => s.carrier ?? null),
      settlements.map((s) => s.promptTokens ?? 0),
      settlements.map((s) => s.completionTokens ?? 0),
      settlements.map((s) => s.poolUsed ?? null),
      settlements.map((s) => s.model ?? null),
      settlements.map((s) => s.personalityId ?? null),
      settlements.map((s) => s.latencyMs ?? null),
      holds.map((h) => h.reservationId),
      holds.map((h) => h.communityId),
      holds.map((h) => h.apiKeyId),
      holds.map((h) => h.nftId),
      holds.map((h) => h.pool),
      holds.map((h) => h.promptTokens),
      holds.map((h) => h.maxTokens),
    ],
  });
  const { rows } = result;
  const verdicts = rows.filter((row) => row.operation === 'hold').map(toHoldVerdict);
  return {
    settlements: rows.filter((row) => row.operation === 'settlement').map(toSettlementResult),
    holds: wasRepeated(result) ? await correctRefusals(db, holds, verdicts) : verdicts,
  };
}

/** A repetition is refused for want of the very credits that the first statement has put on hold. */
function correctRefusals(
  db: Queryable,
  holds: readonly HoldRequest[],
  verdicts: readonly HoldVerdict[],
): Promise<HoldVerdict[]> {
  return Promise.all(
    verdicts.map(async (verdict, index) => {
      const hold = holds[index];
      if (verdict.outcome === 'accepted' || hold === undefined) return verdict;
      return (await readStandingHold(db, hold)) ?? verdict;
    }),
  );
}

/**
 * The verdict on a hold that stands: what its statement would have answered, had its connection not broken.
 * Undefined when there is no such hold, or no longer.
 */
export async function readStandingHold(
  db: Queryable,
  { reservationId, communityId }: HoldRequest,
): Promise<HoldVerdict | undefined> {
  const { rows } = await db.query<BatchRow>(
    `SELECT 'accepted' AS outcome, r.hold_micro AS required_micro, a.balance_micro AS available_micro,
       r.price_version AS version, p.prompt_price_micro, p.completion_price_micro,
       k.rate_limit_rpm AS rpm, u.minute_requests AS rpm_used,
       u.minute_started + interval '1 minute' AS rpm_resets_at, k.rate_limit_tpd AS tpd,
       u.day_tokens AS tpd_used, (r.limit_day + 1)::timestamp AT TIME ZONE 'UTC' AS tpd_resets_at
     FROM freeside.budget_reservations r
     JOIN freeside.accounts a ON a.community_id = r.community_id AND a.kind = 'available'
     JOIN freeside.pool_prices p ON p.price_version = r.price_version AND p.pool = r.pool
     JOIN freeside.api_keys k ON k.id = r.api_key_id
     JOIN freeside.api_key_usage u ON u.key_id = k.id
     WHERE r.id = $1 AND r.community_id = $2 AND r.status = 'reserved'`,
    [reservationId, communityId],
  );
  const [row] = rows;
  return row === undefined ? undefined : toHoldVerdict(row);
}

function toSettlementResult(row: BatchRow): SettlementResult {
  return {
    outcome: row.outcome as SettlementOutcome,
    chargeMicro: row.charge_micro ?? 0n,
    writtenOffMicro: row.written_off_micro ?? 0n,
  };
}

function toHoldVerdict(row: BatchRow): HoldVerdict {
  return {
    outcome: row.outcome as HoldVerdict['outcome'],
    requiredMicro: row.required_micro,
    availableMicro: row.available_micro ?? undefined,
    priceVersion: row.version,
    promptPriceMicro: row.prompt_price_micro,
    completionPriceMicro: row.completion_price_micro,
    limits:
      row.rpm === null
        ? undefined
        : {
            requestsPerMinute: row.rpm,
            requestsUsed: row.rpm_used,
            requestsResetAt: row.rpm_resets_at.getTime(),
            tokensPerDay: Number(row.tpd),
            tokensUsed: Number(row.tpd_used),
            tokensResetAt: row.tpd_resets_at.getTime(),
          },
  };
}

/** Reservations on which nobody reported: candidates only, the batch decides under its lock. */
export async function listOrphans(db: Queryable, atMost: number): Promise<string[]> {
  const { rows } = await db.query<{ id: string }>(
    `SELECT id FROM freeside.budget_reservations
     WHERE status = 'reserved' AND created_at < now() - interval '5 minutes'
     ORDER BY created_at LIMIT $1`,
    [atMost],
  );
  return rows.map((row) => row.id);
}

/** Streams that went quiet without a final count: candidates only, as above. */
export async function listQuietStreams(db: Queryable, atMost: number): Promise<string[]> {
  const { rows } = await db.query<{ id: string }>(
    `SELECT id FROM freeside.budget_reservations
     WHERE status = 'streaming' AND COALESCE(progress_at, created_at) < now() - interval '2 minutes'
     ORDER BY created_at LIMIT $1`,
    [atMost],
  );
  return rows.map((row) => row.id);
}

/** Open holds, and the age of the oldest in seconds, for the gauges. */
export async function countOpenReservations(
  db: Queryable,
): Promise<{ status: string; count: number; oldestSeconds: number }[]> {
  const { rows } = await db.query<{ status: string; count: number; oldest: number }>(
    `SELECT status, count(*)::integer AS count, extract(epoch FROM now() - min(created_at))::float8 AS oldest
     FROM freeside.budget_reservations WHERE status IN ('reserved', 'streaming') GROUP BY status`,
  );
  return rows.map((row) => ({ status: row.status, count: row.count, oldestSeconds: row.oldest }));
}

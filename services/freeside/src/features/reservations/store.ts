import type { Queryable } from '@arrakis/postgres';
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
  const { rows } = await db.query<BatchRow>({
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
  return {
    settlements: rows.filter((row) => row.operation === 'settlement').map(toSettlementResult),
    holds: rows.filter((row) => row.operation === 'hold').map(toHoldVerdict),
  };
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

import type { Pool as PoolName } from '@arrakis/contracts';
import type { Pool, PoolClient } from 'pg';
import type { Carrier } from '../../../services/freeside/src/features/reservations/reservation.domain.ts';

export interface ReservationRow {
  readonly id: string;
  readonly community_id: string;
  readonly pool: PoolName;
  readonly prompt_tokens: number;
  readonly max_tokens: number;
  readonly hold_micro: bigint;
  readonly status: string;
  readonly relayed_completion_tokens: number;
  readonly settled_by: Carrier | 'not_delivered' | null;
  readonly charge_micro: bigint;
  readonly created_at: Date;
}

export interface SpendRow {
  readonly budget_reservation_id: string;
  readonly kind: string;
  readonly pool_used: PoolName;
  readonly prompt_tokens: number;
  readonly completion_tokens: number;
  readonly charge_micro: bigint;
  readonly written_off_micro: bigint;
}

export interface CorrectionRow {
  readonly budget_reservation_id: string;
  readonly carrier: string;
  readonly pool_used: PoolName | null;
  readonly prompt_tokens: number;
  readonly completion_tokens: number;
  readonly written_off_micro: bigint;
}

export interface EntryRow {
  readonly community_id: string;
  readonly from_kind: string | null;
  readonly to_kind: string | null;
  readonly from_community: string | null;
  readonly to_community: string | null;
  readonly amount_micro: bigint;
  readonly kind: string;
  readonly reservation_id: string | null;
}

export interface AccountRow {
  readonly community_id: string;
  readonly kind: string;
  readonly balance_micro: bigint;
}

/** Accounts that only give: what they gave stands below zero. */
const SOURCES = new Set(['minted', 'absorbed', 'crypto_receipts', 'bonus']);

export function isOverdrawn({ kind, balance_micro: balance }: Omit<AccountRow, 'community_id'>) {
  return SOURCES.has(kind) ? balance > 0n : balance < 0n;
}

export interface LotRow {
  readonly id: string;
  readonly community_id: string;
  readonly original_micro: bigint;
  readonly remaining_micro: bigint;
  readonly allocated_micro: bigint;
  readonly adjusted_micro: bigint;
}

export interface DriftRow {
  readonly community_id: string;
  readonly equation: string;
  readonly drift: string;
}

/** Everything that is written about money, as of one moment. */
export interface Books {
  readonly accounts: readonly AccountRow[];
  readonly reservations: readonly ReservationRow[];
  readonly spends: readonly SpendRow[];
  /** Oldest first. */
  readonly corrections: readonly CorrectionRow[];
  readonly entries: readonly EntryRow[];
  readonly lots: readonly LotRow[];
  readonly drift: readonly DriftRow[];
}

/** All statements of `read` see one snapshot, and can change nothing. */
export async function inSnapshot<T>(db: Pool, read: (tx: PoolClient) => Promise<T>): Promise<T> {
  const client = await db.connect();
  let failure: Error | undefined;
  try {
    await client.query('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY');
    const result = await read(client);
    await client.query('COMMIT');
    return result;
  } catch (error) {
    failure = error instanceof Error ? error : new Error(String(error));
    throw failure;
  } finally {
    // A connection in an unknown state is not given back.
    client.release(failure);
  }
}

export function readBooks(db: Pool): Promise<Books> {
  return inSnapshot(db, async (tx) => {
    const accounts = await tx.query<AccountRow>(
      'SELECT community_id, kind, balance_micro FROM freeside.accounts ORDER BY id',
    );
    const reservations = await tx.query<ReservationRow>(
      `SELECT id, community_id, pool, prompt_tokens, max_tokens, hold_micro, status,
              relayed_completion_tokens, settled_by, charge_micro, created_at
       FROM freeside.budget_reservations ORDER BY created_at, id`,
    );
    const spends = await tx.query<SpendRow>(
      `SELECT budget_reservation_id, kind, pool_used, prompt_tokens, completion_tokens,
              charge_micro, written_off_micro FROM freeside.spend_events ORDER BY id`,
    );
    const corrections = await tx.query<CorrectionRow>(
      `SELECT budget_reservation_id, carrier, pool_used, prompt_tokens, completion_tokens,
              written_off_micro FROM freeside.spend_corrections ORDER BY id`,
    );
    const entries = await tx.query<EntryRow>(
      `SELECT e.community_id, f.kind AS from_kind, t.kind AS to_kind,
              f.community_id AS from_community, t.community_id AS to_community,
              e.amount_micro, e.kind, e.reservation_id
       FROM freeside.ledger_entries e
       LEFT JOIN freeside.accounts f ON f.id = e.from_account_id
       LEFT JOIN freeside.accounts t ON t.id = e.to_account_id ORDER BY e.id`,
    );
    const lots = await tx.query<LotRow>(
      `SELECT l.id, l.community_id, l.original_micro, l.remaining_micro,
              COALESCE((SELECT sum(a.amount_micro) FROM freeside.credit_lot_allocations a
                        WHERE a.lot_id = l.id), 0)::bigint AS allocated_micro,
              COALESCE((SELECT sum(d.amount_micro) FROM freeside.credit_lot_adjustments d
                        WHERE d.lot_id = l.id), 0)::bigint AS adjusted_micro
       FROM freeside.credit_lots l ORDER BY l.created_at, l.id`,
    );
    const drift = await tx.query<DriftRow>(
      `SELECT community_id, equation, drift_micro::text AS drift
       FROM freeside.conservation_full WHERE drift_micro <> 0`,
    );
    return {
      accounts: accounts.rows,
      reservations: reservations.rows,
      spends: spends.rows,
      corrections: corrections.rows,
      entries: entries.rows,
      lots: lots.rows,
      drift: drift.rows,
    };
  });
}

/** What one reservation's rows say together. */
export interface Settled {
  readonly reservation: ReservationRow;
  readonly spends: readonly SpendRow[];
  readonly corrections: readonly CorrectionRow[];
  readonly entries: readonly EntryRow[];
  /** The count that stands: the newest correction's, else the spend event's. */
  readonly count:
    | {
        readonly pool: PoolName;
        readonly promptTokens: number;
        readonly completionTokens: number;
      }
    | undefined;
  readonly writtenOffMicro: bigint;
}

export function byReservation(books: Books): ReadonlyMap<string, Settled> {
  const spends = Map.groupBy(books.spends, (row) => row.budget_reservation_id);
  const corrections = Map.groupBy(books.corrections, (row) => row.budget_reservation_id);
  const entries = Map.groupBy(books.entries, (row) => row.reservation_id);
  return new Map(
    books.reservations.map((reservation) => {
      const { id } = reservation;
      const own = { spends: spends.get(id) ?? [], corrections: corrections.get(id) ?? [] };
      return [
        id,
        {
          reservation,
          ...own,
          entries: entries.get(id) ?? [],
          count: countOf(own.spends, own.corrections),
          writtenOffMicro: sumOf([...own.spends, ...own.corrections], (r) => r.written_off_micro),
        },
      ];
    }),
  );
}

function countOf(
  spends: readonly SpendRow[],
  corrections: readonly CorrectionRow[],
): Settled['count'] {
  const spend = spends.at(-1);
  if (spend === undefined) return undefined;
  const newest = corrections.at(-1) ?? spend;
  return {
    pool: newest.pool_used ?? spend.pool_used,
    promptTokens: newest.prompt_tokens,
    completionTokens: newest.completion_tokens,
  };
}

export function sumOf<Row>(rows: readonly Row[], amount: (row: Row) => bigint): bigint {
  return rows.reduce((sum, row) => sum + amount(row), 0n);
}

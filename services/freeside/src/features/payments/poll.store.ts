import type { Queryable } from '@arrakis/postgres';

/** When the vendor may be asked, by the database's clock, so that all replicas keep one pace. */
export interface Pace {
  readonly isDue: boolean;
  readonly isSweepDue: boolean;
  /** Answers of 429 since the last whole round. */
  readonly busyInARow: number;
  /** The payment that was asked about last; the next one's turn comes after it. */
  readonly askedLast: string | null;
}

export async function readPace(db: Queryable): Promise<Pace> {
  const { rows } = await db.query<{
    is_due: boolean;
    is_sweep_due: boolean;
    busy_in_a_row: number;
    asked_last: string | null;
  }>(
    `SELECT due_at <= now() AS is_due, sweep_due_at <= now() AS is_sweep_due, busy_in_a_row, asked_last
     FROM freeside.payment_poll_pace`,
  );
  const row = rows[0];
  if (row === undefined) throw new Error('the pace of the reconciliation is not there');
  return {
    isDue: row.is_due,
    isSweepDue: row.is_sweep_due,
    busyInARow: row.busy_in_a_row,
    askedLast: row.asked_last,
  };
}

/** Never sooner than anybody else has said: a lock that was lost may have had a second holder. */
export async function postponeRound(
  db: Queryable,
  byMs: number,
  busyInARow: number,
): Promise<void> {
  await db.query(
    `UPDATE freeside.payment_poll_pace
     SET due_at = GREATEST(due_at, now() + make_interval(secs => $1)), busy_in_a_row = $2`,
    [byMs / 1_000, busyInARow],
  );
}

export async function postponeSweep(db: Queryable, byMs: number): Promise<void> {
  await db.query(
    `UPDATE freeside.payment_poll_pace SET sweep_due_at = now() + make_interval(secs => $1)`,
    [byMs / 1_000],
  );
}

export async function keepTurn(db: Queryable, askedLast: string): Promise<void> {
  await db.query('UPDATE freeside.payment_poll_pace SET asked_last = $1', [askedLast]);
}

/** Without a final status, and known to the vendor by number. */
export interface HeardPayment {
  readonly id: string;
  readonly vendorPaymentId: string;
}

/**
 * Those of which something was heard, older than so many minutes and not set aside: from newest to
 * oldest, beginning after `after` and going round, so that each gets its turn however many there are.
 */
export async function listHeard(
  db: Queryable,
  page: {
    readonly olderThanMinutes: number;
    readonly after: string | null;
    readonly limit: number;
  },
): Promise<HeardPayment[]> {
  const { rows } = await db.query<{ id: string; payment_id: string }>(
    `SELECT p.id, p.payment_id FROM freeside.crypto_payments p
     LEFT JOIN freeside.crypto_payments turn ON turn.id = $2
     WHERE p.status_rank < 5 AND p.payment_id IS NOT NULL AND p.set_aside_at IS NULL
       AND p.created_at < now() - make_interval(mins => $1)
     ORDER BY COALESCE((p.created_at, p.id) >= (turn.created_at, turn.id), false),
       p.created_at DESC, p.id DESC LIMIT $3`,
    [page.olderThanMinutes, page.after, page.limit],
  );
  return rows.map((row) => ({ id: row.id, vendorPaymentId: row.payment_id }));
}

/** Without a number at the vendor: its list may know them by ours. */
export interface UnheardPayment {
  readonly id: string;
  readonly createdAt: Date;
}

/**
 * Those of the last seven days of which nothing was heard, newest first. Without an invoice nobody got
 * a page to pay at.
 */
export async function listUnheard(
  db: Queryable,
  page: { readonly olderThanMinutes: number; readonly limit: number },
): Promise<UnheardPayment[]> {
  const { rows } = await db.query<{ id: string; created_at: Date }>(
    `SELECT id, created_at FROM freeside.crypto_payments
     WHERE status_rank < 5 AND payment_id IS NULL AND invoice_id IS NOT NULL AND set_aside_at IS NULL
       AND created_at < now() - make_interval(mins => $1) AND created_at > now() - interval '7 days'
     ORDER BY created_at DESC LIMIT $2`,
    [page.olderThanMinutes, page.limit],
  );
  return rows.map((row) => ({ id: row.id, createdAt: row.created_at }));
}

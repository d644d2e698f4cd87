import type { Queryable } from '@arrakis/postgres';

/** What the tables say of the payments. */
export interface PaymentsCheck {
  /** Payments that were credited, ever. */
  readonly credited: number;
  /** Whether one of them was credited by a notice of the vendor, not by asking or by hand. */
  readonly byNotice: boolean;
  /** On their way without news for longer than {@link STUCK_MINUTES}. */
  readonly stuck: number;
  /** Cases that have waited for an operator for longer than {@link REVIEW_HOURS}. */
  readonly overdueReviews: number;
  /** Credits that don't fit their payment, in words; at most 20. */
  readonly faults: readonly string[];
}

export const STUCK_MINUTES = 60;
export const REVIEW_HOURS = 24;

/** Changes nothing. One payment, one lot, of the amount that was agreed; no lot without a payment. */
export async function checkPayments(db: Queryable): Promise<PaymentsCheck> {
  const { rows } = await db.query<Omit<PaymentsCheck, 'faults'>>(
    `SELECT
       (SELECT count(*)::int FROM freeside.crypto_payments WHERE credits_minted_at IS NOT NULL) AS credited,
       EXISTS (SELECT FROM freeside.payment_events WHERE kind = 'minted' AND source = 'webhook') AS "byNotice",
       (SELECT count(*)::int FROM freeside.crypto_payments
        WHERE status IN ('confirming', 'confirmed', 'sending') AND set_aside_at IS NULL
          AND updated_at < now() - make_interval(mins => $1)) AS stuck,
       (SELECT count(*)::int FROM freeside.payment_reviews
        WHERE resolved_at IS NULL AND opened_at < now() - make_interval(hours => $2)) AS "overdueReviews"`,
    [STUCK_MINUTES, REVIEW_HOURS],
  );
  const [row] = rows;
  if (row === undefined) throw new Error('counting the payments returned no row');
  return { ...row, faults: [...(await lotFaults(db)), ...(await driftFaults(db))].slice(0, 20) };
}

async function lotFaults(db: Queryable): Promise<string[]> {
  const { rows } = await db.query<{ fault: string }>(
    `SELECT 'payment ' || p.id || ' and its lot do not agree' AS fault
     FROM freeside.crypto_payments p LEFT JOIN freeside.credit_lots l ON l.id = p.lot_id
     WHERE p.credits_minted_at IS NOT NULL
       AND (l.id IS NULL OR l.community_id <> p.community_id OR l.original_micro <> p.credits_micro + p.bonus_micro)
     UNION ALL
     SELECT 'lot ' || l.id || ' was bought by no payment' FROM freeside.credit_lots l
     WHERE l.source_ref LIKE 'payment:%' AND NOT EXISTS (SELECT FROM freeside.crypto_payments p WHERE p.lot_id = l.id)
     LIMIT 20`,
  );
  return rows.map(({ fault }) => fault);
}

/** The equations of the books that speak of purchases; all others are the gate billing's. */
async function driftFaults(db: Queryable): Promise<string[]> {
  const { rows } = await db.query<{ fault: string }>(
    `SELECT equation || ' is off by ' || drift_micro AS fault FROM freeside.conservation_full
     WHERE drift_micro <> 0
       AND equation ~ '(crypto.receipts|bonus|refunded|debts paid|refund of payment)'
     LIMIT 20`,
  );
  return rows.map(({ fault }) => fault);
}

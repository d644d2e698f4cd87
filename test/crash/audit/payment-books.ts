import type { Pool } from 'pg';
import { inSnapshot } from './books.ts';

export interface PaymentRow {
  readonly id: string;
  readonly community_id: string;
  readonly pack_id: string;
  readonly idempotency_key: string;
  readonly status: string;
  readonly vendor_payment_id: string | null;
  readonly credits_micro: bigint;
  readonly bonus_micro: bigint;
  readonly is_minted: boolean;
  readonly is_refunded: boolean;
  readonly lot_id: string | null;
}

export interface PurchaseLotRow {
  readonly lot_id: string;
  readonly community_id: string;
  /** Of the payment, as the lot names it. */
  readonly source_ref: string;
  readonly original_micro: bigint;
}

/** Entries and adjustments of lots that were bought, summed by what they are. */
export interface LotSumRow {
  readonly lot_id: string;
  /** `mint`, `bonus`, `refund`, `debt_payment` of entries; `adjusted:refund` and so on of adjustments. */
  readonly kind: string;
  readonly amount_micro: bigint;
}

export interface DebtRow {
  readonly crypto_payment_id: string;
  readonly community_id: string;
  readonly amount_micro: bigint;
  readonly paid_micro: bigint;
}

export interface PaymentEventRow {
  readonly crypto_payment_id: string;
  readonly community_id: string;
  readonly kind: string;
  readonly amount_micro: bigint;
}

export interface DeliveryRow {
  readonly crypto_payment_id: string | null;
  readonly source: string;
  readonly told_status: string | null;
  /** In hexadecimal. */
  readonly body_hash: string;
}

export interface ReviewRow {
  readonly crypto_payment_id: string;
  readonly reason: string;
  readonly is_open: boolean;
}

/** All that is written about payments, as of one moment. */
export interface PaymentBooks {
  readonly payments: readonly PaymentRow[];
  readonly lots: readonly PurchaseLotRow[];
  readonly lotSums: readonly LotSumRow[];
  /** In the order in which they were made. */
  readonly debts: readonly DebtRow[];
  /** What moved money, in the order in which it happened to each community. */
  readonly events: readonly PaymentEventRow[];
  readonly deliveries: readonly DeliveryRow[];
  readonly reviews: readonly ReviewRow[];
}

export function readPaymentBooks(db: Pool): Promise<PaymentBooks> {
  return inSnapshot(db, async (tx) => {
    const payments = await tx.query<PaymentRow>(
      `SELECT id, community_id, pack_id, idempotency_key, status, payment_id AS vendor_payment_id,
              credits_micro, bonus_micro, credits_minted_at IS NOT NULL AS is_minted,
              credits_refunded_at IS NOT NULL AS is_refunded, lot_id
       FROM freeside.crypto_payments ORDER BY created_at, id`,
    );
    const lots = await tx.query<PurchaseLotRow>(
      `SELECT id AS lot_id, community_id, source_ref, original_micro
       FROM freeside.credit_lots WHERE source = 'purchase' ORDER BY created_at, id`,
    );
    const lotSums = await tx.query<LotSumRow>(
      `SELECT e.lot_id, e.kind, sum(e.amount_micro)::bigint AS amount_micro
       FROM freeside.ledger_entries e JOIN freeside.credit_lots l ON l.id = e.lot_id
       WHERE l.source = 'purchase' GROUP BY 1, 2
       UNION ALL
       SELECT d.lot_id, 'adjusted:' || d.reason, sum(d.amount_micro)::bigint
       FROM freeside.credit_lot_adjustments d JOIN freeside.credit_lots l ON l.id = d.lot_id
       WHERE l.source = 'purchase' GROUP BY 1, 2`,
    );
    const debts = await tx.query<DebtRow>(
      `SELECT crypto_payment_id, community_id, amount_micro, paid_micro
       FROM freeside.community_debts ORDER BY id`,
    );
    const events = await tx.query<PaymentEventRow>(
      `SELECT e.crypto_payment_id, p.community_id, e.kind, e.amount_micro
       FROM freeside.payment_events e JOIN freeside.crypto_payments p ON p.id = e.crypto_payment_id
       WHERE e.kind IN ('minted', 'refunded', 'indebted', 'debt_paid') ORDER BY e.id`,
    );
    const deliveries = await tx.query<DeliveryRow>(
      `SELECT crypto_payment_id, source, report ->> 'payment_status' AS told_status,
              encode(body_hash, 'hex') AS body_hash
       FROM freeside.payment_deliveries ORDER BY id`,
    );
    const reviews = await tx.query<ReviewRow>(
      `SELECT crypto_payment_id, reason, resolved_at IS NULL AS is_open
       FROM freeside.payment_reviews ORDER BY id`,
    );
    return {
      payments: payments.rows,
      lots: lots.rows,
      lotSums: lotSums.rows,
      debts: debts.rows,
      events: events.rows,
      deliveries: deliveries.rows,
      reviews: reviews.rows,
    };
  });
}

import type { Queryable } from '@arrakis/postgres';
import type { PaymentStatus } from './payment-state.domain.ts';
import type { BookChange, OpenCounts } from './payment.domain.ts';
import { toBookChange } from './store.ts';

/** A payment as an operator sees it. */
export interface PaymentCase {
  readonly id: string;
  readonly community: string;
  readonly packId: string;
  readonly status: PaymentStatus;
  readonly vendorPaymentId: string | null;
  /** The payment that it repeats; null unless an operator credited a further deposit as this one. */
  readonly repeatsPaymentId: string | null;
  /** When an operator closed its last case without credits, and no news came since. */
  readonly setAsideAt: Date | null;
  readonly isCredited: boolean;
  readonly isRefunded: boolean;
  readonly debtMicro: bigint;
  readonly createdAt: Date;
  readonly updatedAt: Date;
  readonly openReviews: readonly OpenReview[];
}

export interface OpenReview {
  readonly id: string;
  readonly reason: string;
  readonly vendorPaymentId: string;
  readonly vendorStatus: string;
  readonly deliveryId: string;
}

/**
 * `stuck`: the customer's money is on its way, the vendor has told nothing new for half an hour, and no
 * operator has set it aside.
 * `review`: waits for an operator. `all`: also checkouts that nobody paid, which are no one's trouble.
 */
export type CaseFilter = 'stuck' | 'review' | 'all';

interface CaseRow {
  id: string;
  community: string;
  pack_id: string;
  status: PaymentStatus;
  payment_id: string | null;
  repeats_payment_id: string | null;
  set_aside_at: Date | null;
  credits_minted_at: Date | null;
  credits_refunded_at: Date | null;
  debt_micro: bigint;
  created_at: Date;
  updated_at: Date;
  reviews: OpenReview[];
}

/**
 * At most `limit`, newest first, but cases by how long they have waited; with `id` that one alone, with
 * `repeats` those that repeat that one.
 */
export async function listCases(
  db: Queryable,
  filter: CaseFilter,
  page: { readonly id?: string; readonly repeats?: string; readonly limit: number },
): Promise<PaymentCase[]> {
  const { rows } = await db.query<CaseRow>(
    `SELECT p.id, c.slug AS community, p.pack_id, p.status, p.payment_id, p.repeats_payment_id,
            p.set_aside_at, p.credits_minted_at, p.credits_refunded_at,
            COALESCE(d.amount_micro - d.paid_micro, 0)::bigint AS debt_micro,
            p.created_at, p.updated_at, r.reviews
     FROM freeside.crypto_payments p
     JOIN freeside.communities c ON c.id = p.community_id
     LEFT JOIN freeside.community_debts d ON d.crypto_payment_id = p.id
     CROSS JOIN LATERAL (
       SELECT COALESCE(jsonb_agg(jsonb_build_object('id', v.id::text, 'reason', v.reason,
         'vendorPaymentId', v.vendor_payment_id, 'vendorStatus', v.vendor_status,
         'deliveryId', v.delivery_id::text) ORDER BY v.id), '[]') AS reviews,
         min(v.opened_at) AS waits_since
       FROM freeside.payment_reviews v WHERE v.crypto_payment_id = p.id AND v.resolved_at IS NULL
     ) r
     WHERE ($1::uuid IS NULL OR p.id = $1) AND ($4::uuid IS NULL OR p.repeats_payment_id = $4)
       AND ($2 <> 'review' OR r.reviews <> '[]')
       AND ($2 <> 'stuck' OR (p.status IN ('confirming', 'confirmed', 'sending') AND p.set_aside_at IS NULL
         AND p.updated_at < now() - interval '30 minutes'))
     ORDER BY CASE WHEN $2 = 'review' THEN r.waits_since END, p.created_at DESC, p.id DESC LIMIT $3`,
    [page.id ?? null, filter, page.limit, page.repeats ?? null],
  );
  return rows.map((row) => ({
    id: row.id,
    community: row.community,
    packId: row.pack_id,
    status: row.status,
    vendorPaymentId: row.payment_id,
    repeatsPaymentId: row.repeats_payment_id,
    setAsideAt: row.set_aside_at,
    isCredited: row.credits_minted_at !== null,
    isRefunded: row.credits_refunded_at !== null,
    debtMicro: row.debt_micro,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
    openReviews: row.reviews,
  }));
}

export interface PaymentEvent {
  readonly at: Date;
  readonly kind: string;
  readonly fromStatus: string | null;
  readonly toStatus: string | null;
  readonly amountMicro: bigint | null;
  readonly source: string;
  readonly operator: string | null;
  readonly reason: string | null;
  readonly deliveryId: string | null;
}

interface EventRow {
  created_at: Date;
  kind: string;
  from_status: string | null;
  to_status: string | null;
  amount_micro: bigint | null;
  source: string;
  operator: string | null;
  reason: string | null;
  delivery_id: bigint | null;
}

/** All that happened to a payment, in order. */
export async function listEvents(db: Queryable, paymentId: string): Promise<PaymentEvent[]> {
  const { rows } = await db.query<EventRow>(
    'SELECT * FROM freeside.payment_events WHERE crypto_payment_id = $1 ORDER BY id',
    [paymentId],
  );
  return rows.map((row) => ({
    at: row.created_at,
    kind: row.kind,
    fromStatus: row.from_status,
    toStatus: row.to_status,
    amountMicro: row.amount_micro,
    source: row.source,
    operator: row.operator,
    reason: row.reason,
    deliveryId: row.delivery_id?.toString() ?? null,
  }));
}

export interface KeptDelivery {
  readonly id: string;
  readonly at: Date;
  readonly source: string;
  readonly outcome: string;
  readonly report: Readonly<Record<string, string>>;
  readonly bodyHash: Uint8Array;
}

interface DeliveryRow {
  id: bigint;
  created_at: Date;
  source: string;
  outcome: string;
  report: Record<string, string>;
  body_hash: Buffer;
}

/** What was last said of a payment, in order; or the one kept report with that number. */
export async function listDeliveries(
  db: Queryable,
  by: { readonly paymentId: string } | { readonly deliveryId: string },
): Promise<KeptDelivery[]> {
  const [paymentId, deliveryId] = 'paymentId' in by ? [by.paymentId, null] : [null, by.deliveryId];
  const { rows } = await db.query<DeliveryRow>(
    `SELECT * FROM (
       SELECT id, created_at, source, outcome, report, body_hash FROM freeside.payment_deliveries
       WHERE crypto_payment_id = $1 OR id = $2 ORDER BY id DESC LIMIT 1000
     ) last ORDER BY id`,
    [paymentId, deliveryId],
  );
  return rows.map((row) => ({
    id: row.id.toString(),
    at: row.created_at,
    source: row.source,
    outcome: row.outcome,
    report: row.report,
    bodyHash: row.body_hash,
  }));
}

export type ResolutionOutcome =
  | 'done'
  | 'not_found'
  | 'resolved_before'
  /** That vendor payment has been credited. */
  | 'minted_before'
  | 'nothing_to_refund';

export interface Resolution {
  readonly paymentId: string;
  /** Of the review that it answers; null for a mint or refund without one. */
  readonly reviewId: string | null;
  readonly resolution: 'mint' | 'ignore' | 'refund';
  readonly operator: string;
  readonly reason: string;
}

/** @param newId of the payment that a second deposit becomes when it is minted. */
export async function resolvePayment(
  db: Queryable,
  { paymentId, reviewId, resolution, operator, reason }: Resolution,
  newId: string,
): Promise<{ outcome: ResolutionOutcome; books: BookChange }> {
  const { rows } = await db.query<{
    outcome: ResolutionOutcome;
    minted_micro: bigint | null;
    debt_paid_micro: bigint | null;
    refunded_micro: bigint | null;
    debt_micro: bigint | null;
  }>('SELECT * FROM freeside.resolve_payment($1, $2, $3, $4, $5, $6)', [
    paymentId,
    reviewId,
    resolution,
    operator,
    reason,
    newId,
  ]);
  const row = rows[0];
  if (row === undefined) throw new Error('resolve_payment returned no row');
  return { outcome: row.outcome, books: toBookChange(row) };
}

/** What waits; an invoice that nobody opened counts for a week, as long as anybody asks about it. */
export async function countOpen(db: Queryable): Promise<OpenCounts> {
  const { rows } = await db.query<{
    open: number;
    oldest_open: number;
    stuck: number;
    oldest_stuck: number;
    reviews: number;
    oldest_review: number;
    debt_micro: bigint;
  }>(
    `SELECT c.open, c.oldest_open, c.stuck, c.oldest_stuck, r.reviews, r.oldest_review, d.debt_micro
     FROM (SELECT count(*)::integer AS open,
                  COALESCE(extract(epoch FROM now() - min(p.created_at)), 0)::float8 AS oldest_open,
                  count(s.since)::integer AS stuck,
                  COALESCE(extract(epoch FROM now() - min(s.since)), 0)::float8 AS oldest_stuck
           FROM freeside.crypto_payments p
           LEFT JOIN LATERAL (SELECT p.updated_at AS since
                              WHERE p.status IN ('confirming', 'confirmed', 'sending')
                                AND p.updated_at < now() - interval '30 minutes') s ON true
           WHERE p.status_rank < 5 AND p.set_aside_at IS NULL
             AND (p.payment_id IS NOT NULL OR p.created_at > now() - interval '7 days')) c
     CROSS JOIN (SELECT count(*)::integer AS reviews,
                        COALESCE(extract(epoch FROM now() - min(opened_at)), 0)::float8 AS oldest_review
                 FROM freeside.payment_reviews WHERE resolved_at IS NULL) r
     CROSS JOIN (SELECT COALESCE(sum(amount_micro - paid_micro), 0)::bigint AS debt_micro
                 FROM freeside.community_debts WHERE paid_micro < amount_micro) d`,
  );
  const row = rows[0];
  if (row === undefined) throw new Error('counting returned no row');
  return {
    open: row.open,
    oldestOpenSeconds: row.oldest_open,
    stuck: row.stuck,
    oldestStuckSeconds: row.oldest_stuck,
    reviews: row.reviews,
    oldestReviewSeconds: row.oldest_review,
    debtMicro: row.debt_micro,
  };
}

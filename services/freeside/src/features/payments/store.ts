import type { Queryable } from '@arrakis/postgres';
import type { Decision, DeliverySource, VendorReport } from './delivery.domain.ts';
import type { PaymentStatus } from './payment-state.domain.ts';
import {
  isPaymentId,
  type BookChange,
  type BoundPayment,
  type CreditPack,
  type Payment,
  type PaymentCursor,
} from './payment.domain.ts';

interface PackRow {
  id: string;
  name: string;
  version: number;
  price_micro: bigint;
  credits_micro: bigint;
  bonus_micro: bigint;
}

/** The packs of the newest version in effect, cheapest first. */
export async function listPacks(db: Queryable): Promise<CreditPack[]> {
  const { rows } = await db.query<PackRow>(
    `SELECT id, name, version, price_micro, credits_micro, bonus_micro FROM freeside.credit_packs
     WHERE version = (SELECT max(version) FROM freeside.credit_pack_versions WHERE effective_at <= now())
     ORDER BY price_micro, id`,
  );
  return rows.map((row) => ({
    id: row.id,
    name: row.name,
    version: row.version,
    priceMicro: row.price_micro,
    creditsMicro: row.credits_micro,
    bonusMicro: row.bonus_micro,
  }));
}

export interface NewPayment {
  readonly id: string;
  readonly communityId: string;
  readonly userId: string;
  readonly idempotencyKey: string;
  readonly packId: string;
}

export type Creation =
  | {
      readonly kind: 'there';
      readonly id: string;
      readonly created: boolean;
      /** Whether the key was used for this pack. */
      readonly isSame: boolean;
    }
  | { readonly kind: 'no_such_pack' }
  /** The community has as many checkouts of this hour that nobody has opened as it may. */
  | { readonly kind: 'too_many'; readonly retryAfterSeconds: number };

/** A repeated key gives the first payment again. */
export async function createPayment(db: Queryable, payment: NewPayment): Promise<Creation> {
  const { rows } = await db.query<{
    id: string | null;
    created: boolean;
    is_same: boolean;
    pause_seconds: number;
  }>(
    'SELECT id, created, is_same, pause_seconds FROM freeside.create_payment($1, $2, $3, $4, $5)',
    [payment.id, payment.communityId, payment.userId, payment.idempotencyKey, payment.packId],
  );
  const row = rows[0];
  if (row === undefined) throw new Error('create_payment returned no row');
  if (row.pause_seconds > 0) return { kind: 'too_many', retryAfterSeconds: row.pause_seconds };
  if (row.id === null) return { kind: 'no_such_pack' };
  return { kind: 'there', id: row.id, created: row.created, isSame: row.is_same };
}

/** Notes the invoice, unless one stands: the first one stays. */
export async function recordInvoice(
  db: Queryable,
  paymentId: string,
  invoice: { readonly invoiceId: string; readonly checkoutUrl: string },
): Promise<void> {
  await db.query('SELECT freeside.record_invoice($1, $2, $3)', [
    paymentId,
    invoice.invoiceId,
    invoice.checkoutUrl,
  ]);
}

interface PaymentRow {
  id: string;
  pack_id: string;
  pack_version: number;
  status: PaymentStatus;
  price_micro: bigint;
  credits_micro: bigint;
  bonus_micro: bigint;
  checkout_url: string | null;
  pay_currency: string | null;
  in_review: boolean;
  debt_micro: bigint;
  credits_minted_at: Date | null;
  credits_refunded_at: Date | null;
  created_at: Date;
  updated_at: Date;
  cursor_at: string;
}

/**
 * A community's payments from newest to oldest, after `after`; with `id`, that one alone. Another
 * community's payments are never among them.
 */
export async function listPayments(
  db: Queryable,
  communityId: string,
  page: {
    readonly id?: string;
    readonly after?: PaymentCursor | undefined;
    readonly limit: number;
  },
): Promise<{ payment: Payment; cursor: PaymentCursor }[]> {
  const { rows } = await db.query<PaymentRow>(
    `SELECT p.*, COALESCE(d.amount_micro - d.paid_micro, 0)::bigint AS debt_micro,
            EXISTS (SELECT 1 FROM freeside.payment_reviews r
                    WHERE r.crypto_payment_id = p.id AND r.resolved_at IS NULL) AS in_review,
            to_char(p.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS cursor_at
     FROM freeside.crypto_payments p
     LEFT JOIN freeside.community_debts d ON d.crypto_payment_id = p.id
     WHERE p.community_id = $1 AND ($2::uuid IS NULL OR p.id = $2)
       AND ($3::timestamptz IS NULL OR (p.created_at, p.id) < ($3, $4::uuid))
     ORDER BY p.created_at DESC, p.id DESC LIMIT $5`,
    [
      communityId,
      page.id ?? null,
      page.after?.createdAt ?? null,
      page.after?.id ?? null,
      page.limit,
    ],
  );
  return rows.map((row) => ({
    payment: toPayment(row),
    cursor: { createdAt: row.cursor_at, id: row.id },
  }));
}

function toPayment(row: PaymentRow): Payment {
  return {
    id: row.id,
    packId: row.pack_id,
    packVersion: row.pack_version,
    status: row.status,
    priceMicro: row.price_micro,
    creditsMicro: row.credits_micro,
    bonusMicro: row.bonus_micro,
    checkoutUrl: row.checkout_url,
    payCurrency: row.pay_currency,
    inReview: row.in_review,
    debtMicro: row.debt_micro,
    creditedAt: row.credits_minted_at,
    refundedAt: row.credits_refunded_at,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
  };
}

interface BoundRow {
  id: string;
  version: number;
  status: PaymentStatus;
  payment_id: string | null;
  pay_currency: string | null;
  price_micro: bigint;
  last_seen_updated_at: Date | null;
  credits_minted_at: Date | null;
  credits_refunded_at: Date | null;
}

/**
 * The payment that a report is about: by our id, or one that repeats it and has the vendor's number,
 * since the vendor knows both as one order. Without an order by the vendor's numbers, since a repeated
 * deposit may know only its parent, and at last by what was told of a number that was replaced.
 */
export async function findBound(
  db: Queryable,
  report: VendorReport,
): Promise<BoundPayment | undefined> {
  const row = await findByNumbers(db, report);
  if (row !== undefined) return toBound(row);
  const orderId = report.orderId === null ? await findTold(db, report) : undefined;
  if (orderId === undefined) return undefined;
  const told = await findByNumbers(db, { ...report, orderId });
  return told && toBound(told);
}

async function findByNumbers(db: Queryable, report: VendorReport): Promise<BoundRow | undefined> {
  const { orderId, paymentId, parentPaymentId, invoiceId } = report;
  const { rows } = await db.query<BoundRow>({
    name: 'find_bound_payment',
    text: `SELECT id, version, status, payment_id, pay_currency, price_micro, last_seen_updated_at,
                  credits_minted_at, credits_refunded_at
           FROM freeside.crypto_payments
           WHERE id = $1 OR (payment_id = $2 AND repeats_payment_id = $1)
             OR ($5 AND (payment_id = $2 OR payment_id = $3 OR invoice_id = $4))
           ORDER BY payment_id = $2 DESC NULLS LAST, payment_id = $3 DESC NULLS LAST LIMIT 1`,
    values: [
      orderId !== null && isPaymentId(orderId) ? orderId : null,
      paymentId,
      parentPaymentId,
      invoiceId,
      // An order that isn't ours is not made ours by a number.
      orderId === null,
    ],
  });
  return rows[0];
}

/** Of which payment the vendor's number was told last; else of which one its parent was. */
async function findTold(
  db: Queryable,
  { paymentId, parentPaymentId }: VendorReport,
): Promise<string | undefined> {
  const { rows } = await db.query<{ crypto_payment_id: string }>(
    `SELECT crypto_payment_id FROM freeside.payment_deliveries
     WHERE vendor_payment_id IN ($1, $2) AND crypto_payment_id IS NOT NULL
     ORDER BY vendor_payment_id = $1 DESC, id DESC LIMIT 1`,
    [paymentId, parentPaymentId ?? paymentId],
  );
  return rows[0]?.crypto_payment_id;
}

function toBound(row: BoundRow): BoundPayment {
  const isRefunded = row.credits_refunded_at !== null;
  const isCredited = row.credits_minted_at !== null;
  return {
    id: row.id,
    version: row.version,
    status: row.status,
    credits: isRefunded ? 'taken_back' : isCredited ? 'given' : 'none',
    vendorPaymentId: row.payment_id,
    payCurrency: row.pay_currency,
    priceMicro: row.price_micro,
    lastUpdatedAtMs: row.last_seen_updated_at?.getTime() ?? null,
  };
}

/** A report together with what is kept of it. */
export interface KeptReport {
  readonly source: DeliverySource;
  readonly kept: Readonly<Record<string, string>>;
  /** SHA-256 of the body as it came. */
  readonly bodyHash: Uint8Array;
}

export type Applied =
  | { readonly kind: 'applied'; readonly openedReview: boolean; readonly books: BookChange }
  /** The payment has changed since: nothing happened, decide again. */
  | { readonly kind: 'outdated' }
  /** Told of too often: nothing happened. */
  | { readonly kind: 'paused'; readonly retryAfterSeconds: number };

interface AppliedRow {
  is_applied: boolean;
  pause_seconds: number;
  opened_review: boolean;
  minted_micro: bigint | null;
  debt_paid_micro: bigint | null;
  refunded_micro: bigint | null;
  debt_micro: bigint | null;
}

/**
 * Applies a decision to the version of the payment it was made on, in one statement.
 *
 * @throws pg's DatabaseError: 23505 when the vendor's number belongs to another payment of ours.
 */
export async function applyDecision(
  db: Queryable,
  payment: BoundPayment,
  report: VendorReport,
  decision: Decision,
  kept: KeptReport,
): Promise<Applied> {
  const { rows } = await db.query<AppliedRow>({
    name: 'apply_payment_decision',
    text: `SELECT is_applied, pause_seconds, opened_review, minted_micro, debt_paid_micro, refunded_micro, debt_micro
           FROM freeside.apply_payment_decision($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)`,
    values: [
      payment.id,
      payment.version,
      kept.source,
      kept.kept,
      kept.bodyHash,
      report.paymentId,
      report.status,
      report.payCurrency,
      report.updatedAtMs === null ? null : new Date(report.updatedAtMs),
      decision.outcome,
      decision.to ?? null,
      decision.binds,
      decision.review ?? null,
    ],
  });
  const row = rows[0];
  if (row === undefined) throw new Error('apply_payment_decision returned no row');
  if (row.is_applied) {
    return { kind: 'applied', openedReview: row.opened_review, books: toBookChange(row) };
  }
  if (row.pause_seconds > 0) return { kind: 'paused', retryAfterSeconds: row.pause_seconds };
  return { kind: 'outdated' };
}

export function toBookChange(row: {
  readonly minted_micro: bigint | null;
  readonly debt_paid_micro: bigint | null;
  readonly refunded_micro: bigint | null;
  readonly debt_micro: bigint | null;
}): BookChange {
  return {
    mintedMicro: row.minted_micro ?? 0n,
    debtPaidMicro: row.debt_paid_micro ?? 0n,
    refundedMicro: row.refunded_micro ?? 0n,
    debtMicro: row.debt_micro ?? 0n,
  };
}

/** Seconds until the vendor may tell of that payment again; 0 when it may now. */
export async function deliveryPause(db: Queryable, vendorPaymentId: string): Promise<number> {
  const { rows } = await db.query<{ seconds: number }>(
    'SELECT freeside.delivery_pause($1) AS seconds',
    [vendorPaymentId],
  );
  return rows[0]?.seconds ?? 0;
}

/** Keeps a report that moves nothing. */
export async function keepDelivery(
  db: Queryable,
  vendorPaymentId: string | null,
  outcome: 'unbound' | 'malformed',
  kept: KeptReport,
): Promise<void> {
  await db.query('SELECT freeside.keep_delivery($1, $2, $3, $4, $5)', [
    vendorPaymentId,
    kept.source,
    outcome,
    kept.kept,
    kept.bodyHash,
  ]);
}

import { createHash, randomUUID } from 'node:crypto';
import type { Queryable } from '@arrakis/postgres';
import { createLogger, createRegistry, uuidv7 } from '@arrakis/service-kit';
import type { DeliverySource } from '../delivery.domain.ts';
import { createPaymentEvents, type PaymentEvents } from '../events.ts';
import { PaymentIntake, type Intake } from '../intake.service.ts';
import { canonicalText, parseJsonText } from '../json-text.domain.ts';
import type { PaymentStatus } from '../payment-state.domain.ts';
import { createPayment } from '../store.ts';
import { readReport, redactReport } from '../vendor-report.domain.ts';

/** The shortest way to each status, as notices. */
export const WAYS: Readonly<Record<PaymentStatus, readonly PaymentStatus[]>> = {
  waiting: ['waiting'],
  confirming: ['confirming'],
  confirmed: ['confirmed'],
  sending: ['sending'],
  partially_paid: ['partially_paid'],
  finished: ['finished'],
  failed: ['failed'],
  expired: ['expired'],
  refunded: ['finished', 'refunded'],
};

export interface PaymentRow {
  readonly id: string;
  readonly status: PaymentStatus;
  readonly version: number;
  readonly payment_id: string | null;
  readonly credits_minted_at: Date | null;
  readonly credits_mint_event_id: string | null;
  readonly credits_refunded_at: Date | null;
  readonly lot_id: string | null;
}

export function newEvents(): PaymentEvents {
  return createPaymentEvents(
    createRegistry('test'),
    createLogger({ service: 'test', level: 'silent' }),
  );
}

export function newIntake(db: Queryable): PaymentIntake {
  return new PaymentIntake({ db, events: newEvents() });
}

export async function memberOf(owner: Queryable, communityId: string): Promise<string> {
  const { rows } = await owner.query<{ id: string }>(
    'SELECT id FROM freeside.community_members WHERE community_id = $1 LIMIT 1',
    [communityId],
  );
  return rows[0]?.id ?? '';
}

export async function openPayment(
  app: Queryable,
  communityId: string,
  userId: string,
  packId = 'standard',
): Promise<string> {
  const id = uuidv7();
  const idempotencyKey = randomUUID();
  const made = await createPayment(app, { id, communityId, userId, idempotencyKey, packId });
  if (made.kind !== 'there') throw new Error(`no payment was made: ${made.kind}`);
  return id;
}

let lastVendorPayment = 5_000_000_000;
export function nextVendorPaymentId(): string {
  lastVendorPayment += 1;
  return String(lastVendorPayment);
}

/** A notice as the vendor now sends it, for the pack of ten dollars. */
export function notice(
  orderId: string | null,
  status: string,
  change: Readonly<Record<string, unknown>> = {},
): Record<string, unknown> {
  return {
    payment_id: 5077125051,
    parent_payment_id: null,
    invoice_id: null,
    payment_status: status,
    pay_address: 'TVZ9nJvFAUKGwM3PLoCmRBm4nk5p8LxVEx',
    price_amount: 10,
    price_currency: 'usd',
    pay_amount: 80.5,
    actually_paid: status === 'waiting' ? 0 : 80.5,
    pay_currency: 'trx',
    order_id: orderId,
    fee: { currency: 'btc', depositFee: 0.09853637216235617, withdrawalFee: 0, serviceFee: 0 },
    ...change,
  };
}

/** Tells it past HTTP, as webhook, poll and replay do. */
export async function tell(
  intake: PaymentIntake,
  told: Readonly<Record<string, unknown>>,
  source: DeliverySource = 'webhook',
): Promise<Intake> {
  const body = parseJsonText(JSON.stringify(told));
  const reading = readReport(body);
  if (!reading.ok) throw new Error(`unreadable notice: ${JSON.stringify(reading.errors)}`);
  const bodyHash = createHash('sha256').update(canonicalText(body)).digest();
  return intake.receive(reading.report, { source, kept: redactReport(body), bodyHash });
}

export async function paymentRow(db: Queryable, id: string): Promise<PaymentRow> {
  const { rows } = await db.query<PaymentRow>(
    'SELECT * FROM freeside.crypto_payments WHERE id = $1',
    [id],
  );
  if (rows[0] === undefined) throw new Error('no such payment');
  return rows[0];
}

export async function openReviews(db: Queryable, paymentId: string): Promise<string[]> {
  const { rows } = await db.query<{ reason: string }>(
    `SELECT reason FROM freeside.payment_reviews
     WHERE crypto_payment_id = $1 AND resolved_at IS NULL ORDER BY id`,
    [paymentId],
  );
  return rows.map((row) => row.reason);
}

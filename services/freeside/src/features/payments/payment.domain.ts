import type { KnownPayment } from './delivery.domain.ts';
import type { PaymentStatus } from './payment-state.domain.ts';

/** What can be bought; amounts in micro-dollars and micro-credits. */
export interface CreditPack {
  readonly id: string;
  readonly name: string;
  readonly version: number;
  readonly priceMicro: bigint;
  readonly creditsMicro: bigint;
  readonly bonusMicro: bigint;
}

/** A payment as its community may see it. */
export interface Payment {
  readonly id: string;
  readonly packId: string;
  readonly packVersion: number;
  readonly status: PaymentStatus;
  readonly priceMicro: bigint;
  readonly creditsMicro: bigint;
  readonly bonusMicro: bigint;
  /** Null until the vendor has made its invoice. */
  readonly checkoutUrl: string | null;
  readonly payCurrency: string | null;
  readonly inReview: boolean;
  /** Of a refund that could not be taken back, what is still owed. */
  readonly debtMicro: bigint;
  readonly creditedAt: Date | null;
  readonly refundedAt: Date | null;
  readonly createdAt: Date;
  readonly updatedAt: Date;
}

/** A payment as a report meets it. */
export interface BoundPayment extends KnownPayment {
  readonly id: string;
  /** Changes with every change; a decision holds for the version it was made on. */
  readonly version: number;
}

/** What an applied decision did to the books; zero where it did nothing. */
export interface BookChange {
  readonly mintedMicro: bigint;
  readonly debtPaidMicro: bigint;
  readonly refundedMicro: bigint;
  readonly debtMicro: bigint;
}

/** What waits for the vendor or for an operator. */
export interface OpenCounts {
  readonly open: number;
  readonly oldestOpenSeconds: number;
  readonly stuck: number;
  /** Since its last change. */
  readonly oldestStuckSeconds: number;
  readonly reviews: number;
  readonly oldestReviewSeconds: number;
  /** What refunds left owing and no purchase has paid yet, of all communities. */
  readonly debtMicro: bigint;
}

/** Where a list goes on: after this payment, from newest to oldest. */
export interface PaymentCursor {
  /** As the database writes it, to the microsecond. */
  readonly createdAt: string;
  readonly id: string;
}

const CURSOR =
  /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z)_([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})$/;

export function formatCursor(cursor: PaymentCursor): string {
  return `${cursor.createdAt}_${cursor.id}`;
}

/** Undefined for what {@link formatCursor} didn't write. */
export function parseCursor(text: string): PaymentCursor | undefined {
  const [, createdAt, id] = CURSOR.exec(text) ?? [];
  if (createdAt === undefined || id === undefined) return undefined;
  return isMoment(createdAt) ? { createdAt, id } : undefined;
}

/** `Date.parse` also takes 30 February, for a day in March, and the year 0; the database neither. */
function isMoment(text: string): boolean {
  const ms = Date.parse(text);
  if (Number.isNaN(ms) || text.startsWith('0000')) return false;
  return new Date(ms).toISOString().slice(0, 19) === text.slice(0, 19);
}

const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** Whether a text could be one of our payments' ids. */
export function isPaymentId(text: string): boolean {
  return UUID.test(text);
}

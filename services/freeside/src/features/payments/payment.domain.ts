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
  return Number.isNaN(Date.parse(createdAt)) ? undefined : { createdAt, id };
}

const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** Whether a text could be one of our payments' ids. */
export function isPaymentId(text: string): boolean {
  return UUID.test(text);
}

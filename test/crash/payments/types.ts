import type { FakeNowPayments, VendorPayment } from '@arrakis/testkit';

/** The vendor, and the way of its notices to the apis. */
export interface Shop {
  readonly vendor: FakeNowPayments;
  /** Of the apis and of the worker, so that they buy there and believe its notices. */
  readonly env: Readonly<Record<string, string>>;
  /** Every notice that an api answered with 2xx, repetitions included. */
  answered(): readonly AnsweredNotice[];
  /** Each text of a notice that was answered 2xx, once, as it was signed. */
  told(): readonly SignedNotice[];
  /** Posts a notice to that replica past the vendor. Returns the status; 502 for no answer. */
  post(body: Buffer, signature: string, replica: number): Promise<number>;
  /**
   * Waits until every notice was taken, or none for some seconds, as of payments that are told of too
   * often; then none is passed on any more. False when some were left: the vendor gives up.
   */
  giveUp(): Promise<boolean>;
}

export interface SignedNotice {
  readonly body: Buffer;
  readonly signature: string;
}

export interface AnsweredNotice {
  /** Ours. */
  readonly paymentId: string;
  readonly status: string;
  /** SHA-256 of the body, in hexadecimal. */
  readonly bodyHash: string;
  /** Index into `world.apis`. */
  readonly replica: number;
}

/** A pack that somebody bought, and what the vendor then made of it. */
export interface Purchase {
  /** Ours, as the api told it. */
  readonly paymentId: string;
  /** Community id. */
  readonly community: string;
  readonly pack: string;
  readonly atVendor: VendorPayment;
  /** All that the vendor has said of it, in the order in which it happened. */
  readonly history: string[];
  /** Of these so many were told twice. */
  repeats: number;
}

/** One `POST /api/v1/payments`. */
export interface BuyingAttempt {
  readonly community: string;
  readonly idempotencyKey: string;
  readonly pack: string;
  readonly startedAtMs: number;
  /** Undefined when nobody answered. */
  readonly status: number | undefined;
  /** Seconds. */
  readonly retryAfter: number | undefined;
  /** Of a 2xx. */
  readonly paymentId: string | undefined;
}

/** What buyers note. */
export interface Market {
  readonly purchases: Purchase[];
  readonly attempts: BuyingAttempt[];
}

/** What buyers and vendor know of the payments. */
export interface PaymentEvidence {
  readonly purchases: readonly Purchase[];
  readonly attempts: readonly BuyingAttempt[];
  readonly answered: readonly AnsweredNotice[];
}

export const NO_PAYMENTS: PaymentEvidence = { purchases: [], attempts: [], answered: [] };

import { violatedConstraint, type Queryable } from '@arrakis/postgres';
import { decide, type Decision, type VendorReport } from './delivery.domain.ts';
import type { PaymentEvents } from './events.ts';
import type { BoundPayment } from './payment.domain.ts';
import { applyDecision, deliveryPause, findBound, keepDelivery, type KeptReport } from './store.ts';

export type Intake =
  /** Committed. */
  | { readonly kind: 'applied'; readonly paymentId: string; readonly decision: Decision }
  /** It is about no payment of ours; kept, unless we had asked. */
  | { readonly kind: 'unbound' }
  /** Told of ten times within the hour, and nothing that would bind or move it; not kept. */
  | { readonly kind: 'paused'; readonly retryAfterSeconds: number };

/** Others changed the payment each time; whoever retries later finds it calmer. */
export class ContendedPaymentError extends Error {
  constructor() {
    super('the payment changed under every attempt');
    this.name = 'ContendedPaymentError';
  }
}

/** Each attempt that fails means that somebody else's got through. */
const MAX_ATTEMPTS = 20;

/** Whether it may change anything. A case may be known; the database tells. */
function maybeNews({ binds, review, to }: Decision): boolean {
  return binds || review !== undefined || to !== undefined;
}

/** The one way in for what the vendor says, by webhook, by poll or told again. */
export class PaymentIntake {
  readonly #db: Queryable;
  readonly #events: PaymentEvents;

  constructor(options: { readonly db: Queryable; readonly events: PaymentEvents }) {
    this.#db = options.db;
    this.#events = options.events;
  }

  /**
   * Decides what the report means on what is known, and applies it if that still stands; else anew.
   * What it returns is committed.
   *
   * @throws ContendedPaymentError, or pg's errors: nothing was stored then, or the same report may be
   *   told again without harm.
   */
  async receive(report: VendorReport, kept: KeptReport): Promise<Intake> {
    for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt += 1) {
      const intake = await this.#attempt(report, kept);
      if (intake !== undefined) return intake;
    }
    throw new ContendedPaymentError();
  }

  /** Keeps what is genuine but can't be read. */
  async keepMalformed(kept: KeptReport): Promise<void> {
    await keepDelivery(this.#db, null, 'malformed', kept);
  }

  /** Undefined when the payment changed in between. */
  async #attempt(report: VendorReport, kept: KeptReport): Promise<Intake | undefined> {
    const payment = await findBound(this.#db, report);
    if (payment === undefined) return this.#keepUnbound(report, kept);
    const decision = decide(payment, report, kept.source);
    // Asked every few minutes, the vendor mostly says what it said before: nothing to keep.
    if (kept.source === 'poll' && !maybeNews(decision)) {
      return { kind: 'applied', paymentId: payment.id, decision };
    }
    try {
      return await this.#apply(payment, report, decision, kept);
    } catch (error) {
      if (violatedConstraint(error)?.startsWith('crypto_payments_') !== true) throw error;
      this.#events.conflicting(payment.id, error);
      return this.#keepUnbound(report, kept);
    }
  }

  async #apply(
    payment: BoundPayment,
    report: VendorReport,
    decision: Decision,
    kept: KeptReport,
  ): Promise<Intake | undefined> {
    const applied = await applyDecision(this.#db, payment, report, decision, kept);
    if (applied.kind === 'outdated') return undefined;
    if (applied.kind === 'paused') return applied;
    const isNews = decision.binds || decision.to !== undefined || applied.openedReview;
    // A poll that heard of a case that is there was not written down.
    if (kept.source !== 'poll' || isNews) {
      this.#events.delivered(kept.source, payment.id, decision);
    }
    this.#events.booked(payment.id, applied.books);
    if (applied.openedReview && decision.review !== undefined) {
      this.#events.reviewOpened(payment.id, decision.review);
    }
    return { kind: 'applied', paymentId: payment.id, decision };
  }

  async #keepUnbound(report: VendorReport, kept: KeptReport): Promise<Intake> {
    // The vendor's account may have other shops; what is asked for anew tomorrow need not be kept.
    if (kept.source === 'poll') return { kind: 'unbound' };
    if (kept.source === 'webhook') {
      const retryAfterSeconds = await deliveryPause(this.#db, report.paymentId);
      if (retryAfterSeconds > 0) return { kind: 'paused', retryAfterSeconds };
    }
    await keepDelivery(this.#db, report.paymentId, 'unbound', kept);
    return { kind: 'unbound' };
  }
}

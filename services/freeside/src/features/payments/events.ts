import { microForMetric } from '@arrakis/money';
import { describeError, type Logger } from '@arrakis/service-kit';
import { Counter, Gauge, Histogram, type Registry } from 'prom-client';
import type { Decision, DeliverySource, ReviewReason } from './delivery.domain.ts';
import type { BookChange, OpenCounts } from './payment.domain.ts';

export type WebhookRefusal =
  | 'rate_limited'
  /** No JSON of the vendor's, whoever sent it. */
  | 'malformed'
  /** Signed, and not to be understood: the vendor has changed its form. */
  | 'unreadable'
  | 'invalid_signature'
  | 'unbound'
  | 'paused'
  | 'disabled'
  | 'unavailable'
  | 'failed';
export type VendorCall = 'create_invoice' | 'get_payment' | 'list_payments';
/** `unreadable`: a payment among what was answered is not to be understood. */
export type VendorOutcome = 'ok' | 'busy' | 'refused' | 'unavailable' | 'unreadable';

/** What happens to payments, each as a counter and, where somebody must look, a log line. */
export interface PaymentEvents {
  created(
    packId: string,
    outcome: 'created' | 'repeated' | 'disabled' | 'rate_limited' | 'unavailable',
  ): void;
  delivered(source: DeliverySource, paymentId: string, decision: Decision): void;
  booked(paymentId: string, books: BookChange): void;
  reviewOpened(paymentId: string, reason: ReviewReason): void;
  webhookRefused(reason: WebhookRefusal): void;
  /** A signed notice, whatever the answer was. */
  webhookAnswered(durationMs: number): void;
  vendorCalled(call: VendorCall, outcome: VendorOutcome, status: number | undefined): void;
  measured(open: OpenCounts): void;
  /** A report names a vendor payment that is bound to another order of ours. */
  conflicting(paymentId: string, error: unknown): void;
}

export function createPaymentEvents(registry: Registry, logger: Logger): PaymentEvents {
  const metrics = createMetrics([registry]);
  return {
    created(packId, outcome) {
      metrics.created.inc({ pack: outcome === 'created' ? packId : 'any', outcome });
    },
    delivered(source, paymentId, { outcome, to }) {
      metrics.deliveries.inc({ source, outcome });
      if (to !== undefined) logger.info({ paymentId, source, status: to }, 'payment advanced');
    },
    booked(paymentId, books) {
      recordBooks(metrics, logger, paymentId, books);
    },
    reviewOpened(paymentId, reason) {
      metrics.reviews.inc({ reason });
      logger.warn({ paymentId, reason }, 'payment waits for an operator');
    },
    webhookRefused(reason) {
      metrics.refusals.inc({ reason });
    },
    webhookAnswered(durationMs) {
      metrics.duration.observe(durationMs / 1000);
    },
    vendorCalled(call, outcome, status) {
      metrics.vendorCalls.inc({ call, outcome });
      if (outcome !== 'ok') logger.warn({ call, outcome, status }, 'NOWPayments did not serve us');
    },
    measured(counts) {
      recordOpen(metrics, counts);
    },
    conflicting(paymentId, error) {
      metrics.conflicts.inc();
      logger.error({ paymentId, err: describeError(error) }, 'a vendor payment names two orders');
    },
  };
}

function recordOpen(metrics: Metrics, counts: OpenCounts): void {
  metrics.open.set({ kind: 'open' }, counts.open);
  metrics.open.set({ kind: 'stuck' }, counts.stuck);
  metrics.open.set({ kind: 'review' }, counts.reviews);
  metrics.oldest.set({ kind: 'open' }, counts.oldestOpenSeconds);
  metrics.oldest.set({ kind: 'stuck' }, counts.oldestStuckSeconds);
  metrics.oldest.set({ kind: 'review' }, counts.oldestReviewSeconds);
  metrics.debtOpen.set(microForMetric(counts.debtMicro));
}

type Metrics = ReturnType<typeof createMetrics>;

function recordBooks(
  metrics: Metrics,
  logger: Logger,
  paymentId: string,
  { mintedMicro, debtPaidMicro, refundedMicro, debtMicro }: BookChange,
): void {
  if (mintedMicro > 0n) {
    metrics.mints.inc();
    metrics.minted.inc(microForMetric(mintedMicro));
    logger.info({ paymentId, micro: mintedMicro.toString() }, 'credits minted');
  }
  if (debtPaidMicro > 0n) metrics.debtPaid.inc(microForMetric(debtPaidMicro));
  if (refundedMicro > 0n) metrics.refunded.inc(microForMetric(refundedMicro));
  if (debtMicro > 0n) {
    metrics.debt.inc(microForMetric(debtMicro));
    logger.warn({ paymentId, micro: debtMicro.toString() }, 'a refund left a debt');
  }
}

const WATCHED_REFUSALS: readonly WebhookRefusal[] = [
  'invalid_signature',
  'malformed',
  'unreadable',
  'unbound',
  'unavailable',
  'failed',
];

function createMetrics(registers: Registry[]) {
  const metrics = { ...counters(registers), ...books(registers) };
  // What alerts watch, as 0: a counter that appears with its first event hides it from a rate.
  for (const source of ['webhook', 'poll']) {
    for (const outcome of ['advanced', 'review']) metrics.deliveries.inc({ source, outcome }, 0);
  }
  for (const call of ['create_invoice', 'get_payment', 'list_payments']) {
    for (const outcome of ['ok', 'busy', 'refused', 'unavailable', 'unreadable']) {
      metrics.vendorCalls.inc({ call, outcome }, 0);
    }
  }
  for (const reason of WATCHED_REFUSALS) metrics.refusals.inc({ reason }, 0);
  metrics.reviews.inc({ reason: 'partially_paid' }, 0);
  // No series before it was counted: a fall to 0 and back would look like a new debt.
  metrics.debtOpen.remove();
  return metrics;
}

function counters(registers: Registry[]) {
  return {
    created: new Counter({
      name: 'freeside_payments_created_total',
      help: 'Payments that were asked for, by pack and what became of the asking.',
      labelNames: ['pack', 'outcome'],
      registers,
    }),
    deliveries: new Counter({
      name: 'freeside_payment_deliveries_total',
      help: 'Reports of the vendor that were applied, by where they came from and what they meant.',
      labelNames: ['source', 'outcome'],
      registers,
    }),
    reviews: new Counter({
      name: 'freeside_payment_reviews_opened_total',
      help: 'Cases that were opened for an operator, by reason.',
      labelNames: ['reason'],
      registers,
    }),
    refusals: new Counter({
      name: 'freeside_payment_webhook_refusals_total',
      help: 'Posts to the webhook that were not answered with 200, by reason.',
      labelNames: ['reason'],
      registers,
    }),
    conflicts: new Counter({
      name: 'freeside_payment_conflicts_total',
      help: 'Reports that give a payment of the vendor to another order of ours than before.',
      registers,
    }),
    duration: new Histogram({
      name: 'freeside_payment_webhook_duration_seconds',
      help: 'From a signed notice to our answer, whatever it is; the vendor waits three seconds.',
      buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 3],
      registers,
    }),
    vendorCalls: new Counter({
      name: 'freeside_payment_vendor_calls_total',
      help: 'Calls of the vendor’s API, by outcome.',
      labelNames: ['call', 'outcome'],
      registers,
    }),
  };
}

function books(registers: Registry[]) {
  const micro = (name: string, help: string): Counter =>
    new Counter({ name: `freeside_payment_${name}_micro_total`, help, registers });
  return {
    mints: new Counter({
      name: 'freeside_payment_mints_total',
      help: 'Payments whose credits were minted.',
      registers,
    }),
    minted: micro('minted', 'Micro-credits minted for payments, bonus included.'),
    refunded: micro('refunded', 'Micro-credits taken back by refunds.'),
    open: new Gauge({
      name: 'freeside_payments_open',
      help: 'Payments without a final status (a checkout that nobody opened for a week only), those of them whose money is on its way without news for half an hour (stuck), and open reviews.',
      labelNames: ['kind'],
      registers,
    }),
    oldest: new Gauge({
      name: 'freeside_payments_oldest_age_seconds',
      help: 'Age of the oldest payment without a final status, of the last news of the oldest stuck one, and of the oldest open review.',
      labelNames: ['kind'],
      registers,
    }),
    debt: micro('debt', 'Micro-credits that refunds could not take back.'),
    debtOpen: new Gauge({
      name: 'freeside_payment_debt_open_micro',
      help: 'Micro-credits that communities owe after refunds, as the database says.',
      registers,
    }),
    debtPaid: micro('debt_paid', 'Micro-credits of later purchases that paid debts.'),
  };
}

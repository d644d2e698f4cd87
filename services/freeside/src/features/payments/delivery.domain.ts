import { compareDecimals, equalsMicro, type Decimal } from './decimal.domain.ts';
import {
  STATUS_RANK,
  isPaymentStatus,
  mayBecome,
  type PaymentStatus,
} from './payment-state.domain.ts';

/** What the vendor says of a payment, whichever way it came. */
export interface VendorReport {
  /** The vendor's own number of the payment. */
  readonly paymentId: string;
  /** Set when somebody paid once more into the address of an earlier payment. */
  readonly parentPaymentId: string | null;
  /** Our id of the payment; null when the vendor doesn't know it. */
  readonly orderId: string | null;
  readonly invoiceId: string | null;
  readonly status: string;
  readonly priceAmount: Decimal;
  readonly priceCurrency: string;
  readonly payAmount: Decimal | null;
  readonly actuallyPaid: Decimal | null;
  readonly payCurrency: string | null;
  /** Milliseconds since the epoch; the newer notices have none. */
  readonly updatedAtMs: number | null;
}

/** `replay` is a kept notice, told again by an operator. */
export const DELIVERY_SOURCES = ['webhook', 'poll', 'replay'] as const;
export type DeliverySource = (typeof DELIVERY_SOURCES)[number];

/** What we know of the payment before the report. */
export interface KnownPayment {
  readonly status: PaymentStatus;
  /** Whether it was credited, which an operator can do at any status, and whether that was taken back. */
  readonly credits: 'none' | 'given' | 'taken_back';
  /** The vendor's number, once a report has told it. */
  readonly vendorPaymentId: string | null;
  readonly payCurrency: string | null;
  readonly priceMicro: bigint;
  readonly lastUpdatedAtMs: number | null;
}

export const REVIEW_REASONS = [
  /** One more deposit to the address of a payment. */
  'repeated_deposit',
  /** A second payment of the same invoice moves while the first one had begun. */
  'second_payment',
  'unknown_status',
  'wrong_price',
  'wrong_currency',
  /** Paid in another asset than was agreed. */
  'wrong_asset',
  /** Finished, but not said how much was paid. */
  'amount_missing',
  'underpaid',
  /** Credited as agreed; what came beyond it is undecided. */
  'overpaid',
  'partially_paid',
  /** Money came although the payment had ended without any. */
  'paid_after_end',
  /** Failed or expired, although it had finished. */
  'contradicts_finish',
  /** Refunded, although nothing had been credited. */
  'refund_before_finish',
  /** Refunded after an operator had credited it; it had ended without money, so no status goes on. */
  'refund_after_credit',
] as const;
export type ReviewReason = (typeof REVIEW_REASONS)[number];

export interface Decision {
  readonly outcome:
    /** The status goes on; `finished` credits, `refunded` takes back. */
    | 'advanced'
    /** The first report: the vendor's number is now known. */
    | 'bound'
    /** Told before. */
    | 'repeat'
    /** Older than what is known. */
    | 'stale'
    /** Another payment of the same invoice that came to nothing. */
    | 'superseded'
    | 'review';
  readonly to?: PaymentStatus;
  readonly review?: ReviewReason;
  /** The vendor's number of this report becomes that of the payment. */
  readonly binds: boolean;
}

/** Statuses that say that money is on its way or has come. */
const MOVED: readonly PaymentStatus[] = [
  'confirming',
  'confirmed',
  'sending',
  'partially_paid',
  'finished',
  'refunded',
];

const review = (reason: ReviewReason): Decision => ({
  outcome: 'review',
  review: reason,
  binds: false,
});

/**
 * What a report means for a payment. It never credits on a status alone: price, currency, asset and
 * amount have to be those that were agreed.
 */
export function decide(
  known: KnownPayment,
  report: VendorReport,
  source: DeliverySource,
): Decision {
  const { status } = report;
  if (!isPaymentStatus(status)) return review('unknown_status');
  const isOwn = known.vendorPaymentId === report.paymentId;
  // An operator may have made it the one that was credited.
  if (report.parentPaymentId !== null && !isOwn) return review('repeated_deposit');
  // What an operator credited at another price than was agreed can be refunded all the same.
  const priceFault = isOwn && known.credits !== 'none' ? undefined : findPriceFault(known, report);
  if (priceFault !== undefined) return review(priceFault);

  if (!isOwn && known.vendorPaymentId !== null) return decideOther(known, report, status);
  if (isStale(known, report, source)) return { outcome: 'stale', binds: false };
  return decideOwn(known, report, status);
}

/**
 * A checkout page makes a new payment when the customer chooses another coin. It takes the place of
 * the first as soon as it moves, unless that one has moved itself.
 */
function decideOther(known: KnownPayment, report: VendorReport, status: PaymentStatus): Decision {
  if (!MOVED.includes(status)) return { outcome: 'superseded', binds: false };
  if (known.status !== 'waiting') return review('second_payment');
  return decideOwn({ ...known, payCurrency: null, lastUpdatedAtMs: null }, report, status);
}

/** A notice that says the same moment again is a replay; who asks now is told what stands now. */
function isStale(known: KnownPayment, report: VendorReport, source: DeliverySource): boolean {
  if (known.lastUpdatedAtMs === null || report.updatedAtMs === null) return false;
  return source === 'webhook'
    ? report.updatedAtMs <= known.lastUpdatedAtMs
    : report.updatedAtMs < known.lastUpdatedAtMs;
}

function decideOwn(known: KnownPayment, report: VendorReport, status: PaymentStatus): Decision {
  const binds = known.vendorPaymentId !== report.paymentId;
  if (status === known.status) return { outcome: binds ? 'bound' : 'repeat', binds };
  if (!mayBecome(known.status, status)) return decideRefused(known, status);
  if (status === 'partially_paid') {
    return { outcome: 'advanced', to: status, review: 'partially_paid', binds };
  }
  if (status !== 'finished') return { outcome: 'advanced', to: status, binds };
  const fault = findAmountFault(known, report);
  if (fault !== undefined && fault !== 'overpaid') return review(fault);
  const advanced = { outcome: 'advanced', to: status, binds } as const;
  return fault === undefined ? advanced : { ...advanced, review: fault };
}

/** A refund of what never finished. */
const REFUND_REFUSED: Readonly<Record<KnownPayment['credits'], Decision>> = {
  none: review('refund_before_finish'),
  given: review('refund_after_credit'),
  taken_back: { outcome: 'repeat', binds: false },
};

/** What the table doesn't know: an old notice that comes late, or a contradiction. */
function decideRefused({ status: from, credits }: KnownPayment, to: PaymentStatus): Decision {
  const hasEndedUnpaid = from === 'failed' || from === 'expired';
  if (to === 'refunded') return REFUND_REFUSED[credits];
  if (hasEndedUnpaid && (to === 'finished' || to === 'partially_paid')) {
    return credits === 'none' ? review('paid_after_end') : { outcome: 'repeat', binds: false };
  }
  if (from === 'finished' && STATUS_RANK[to] >= STATUS_RANK[from]) {
    return review('contradicts_finish');
  }
  return { outcome: 'stale', binds: false };
}

function findPriceFault(known: KnownPayment, report: VendorReport): ReviewReason | undefined {
  if (report.priceCurrency !== 'usd') return 'wrong_currency';
  return equalsMicro(report.priceAmount, known.priceMicro) ? undefined : 'wrong_price';
}

function findAmountFault(known: KnownPayment, report: VendorReport): ReviewReason | undefined {
  if (known.payCurrency !== null && known.payCurrency !== report.payCurrency) return 'wrong_asset';
  if (report.actuallyPaid === null || report.payAmount === null) return 'amount_missing';
  if (report.payAmount.digits === 0n) return 'amount_missing';
  switch (compareDecimals(report.actuallyPaid, report.payAmount)) {
    case -1:
      return 'underpaid';
    case 0:
      return undefined;
    case 1:
      return 'overpaid';
  }
}

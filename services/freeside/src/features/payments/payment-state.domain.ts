/**
 * The life of a payment: one table, from which the ranks, the diagram of the documentation and the
 * tables of migration 065 come or against which they are checked.
 */
export const PAYMENT_STATUSES = [
  'waiting',
  'confirming',
  'confirmed',
  'sending',
  'partially_paid',
  'finished',
  'failed',
  'expired',
  'refunded',
] as const;
export type PaymentStatus = (typeof PAYMENT_STATUSES)[number];

/**
 * Where a payment may go from each status. Steps may be skipped: a notice can be lost, or be
 * overtaken by the next one.
 */
export const TRANSITIONS: Readonly<Record<PaymentStatus, readonly PaymentStatus[]>> = {
  waiting: [
    'confirming',
    'confirmed',
    'sending',
    'partially_paid',
    'finished',
    'failed',
    'expired',
  ],
  confirming: ['confirmed', 'sending', 'partially_paid', 'finished', 'failed', 'expired'],
  confirmed: ['sending', 'partially_paid', 'finished', 'failed', 'expired'],
  sending: ['partially_paid', 'finished', 'failed', 'expired'],
  partially_paid: ['finished', 'failed', 'expired'],
  finished: ['refunded'],
  failed: [],
  expired: [],
  refunded: [],
};

/** The longest way that leads there: every transition goes up, so nothing ever goes back. */
export const STATUS_RANK: Readonly<Record<PaymentStatus, number>> = ranksOf(TRANSITIONS);

export function isPaymentStatus(text: string): text is PaymentStatus {
  return (PAYMENT_STATUSES as readonly string[]).includes(text);
}

/** Whether the vendor has no more to say: what is polled and what is stuck are the others. */
export function isSettled(status: PaymentStatus): boolean {
  return status === 'finished' || TRANSITIONS[status].length === 0;
}

export function mayBecome(from: PaymentStatus, to: PaymentStatus): boolean {
  return TRANSITIONS[from].includes(to);
}

/** Mermaid's text of the table, as docs/state-machines/payment.md shows it. */
export function diagramOf(transitions: typeof TRANSITIONS): string {
  const arrows = PAYMENT_STATUSES.flatMap((from) =>
    transitions[from].length === 0
      ? [`  ${from} --> [*]`]
      : transitions[from].map((to) => `  ${from} --> ${to}`),
  );
  return ['stateDiagram-v2', '  [*] --> waiting', ...arrows].join('\n');
}

function ranksOf(transitions: typeof TRANSITIONS): Record<PaymentStatus, number> {
  const ranks = Object.fromEntries(PAYMENT_STATUSES.map((status) => [status, 0])) as Record<
    PaymentStatus,
    number
  >;
  // A way visits each status at most once, so as many rounds as there are statuses reach its end.
  PAYMENT_STATUSES.forEach(() => {
    for (const from of PAYMENT_STATUSES) {
      for (const to of transitions[from]) ranks[to] = Math.max(ranks[to], ranks[from] + 1);
    }
  });
  return ranks;
}

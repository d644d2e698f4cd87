import { describe, expect, it } from 'vitest';
import type { VendorPayment } from '@arrakis/testkit';
import type { PaymentEvidence, Purchase } from '../payments/types.ts';
import type { PaymentBooks } from './payment-books.ts';
import {
  FINISH_HEARD,
  MINTED_ONCE,
  NOTICES_KEPT,
  PAYMENT_STATES,
  POLITE_SHOP,
  SOLD_ONCE,
  auditPayments,
} from './payments.ts';
import { DEBTS, REFUNDS, auditRefunds } from './refunds.ts';

/** Each check has to be able to fail: right books pass, and each way of bending them is named. */

const C = 'c-1';
/** Ids are of 36 characters, as a lot's name has them. */
const id = (name: string): string => name.padEnd(36, '-');
/** Bought and finished; bought, spent by 4 and refunded; bought then, which pays the 4. */
const [P, SPENT, LATER] = [id('p'), id('spent'), id('later')];

function payment(of: string, change: Partial<PaymentBooks['payments'][number]> = {}) {
  return {
    id: of,
    community_id: C,
    pack_id: 'standard',
    idempotency_key: `key-${of}`,
    status: 'finished',
    vendor_payment_id: '5',
    credits_micro: 100n,
    bonus_micro: 5n,
    is_minted: true,
    is_refunded: false,
    lot_id: `lot-${of}`,
    ...change,
  };
}

const lot = (of: string): PaymentBooks['lots'][number] => ({
  lot_id: `lot-${of}`,
  community_id: C,
  source_ref: `payment:${of}`,
  original_micro: 105n,
});
const sum = (of: string, kind: string, amount: bigint): PaymentBooks['lotSums'][number] => ({
  lot_id: `lot-${of}`,
  kind,
  amount_micro: amount,
});
const event = (of: string, kind: string, amount: bigint): PaymentBooks['events'][number] => ({
  crypto_payment_id: of,
  community_id: C,
  kind,
  amount_micro: amount,
});
const delivery = (of: string, status: string): PaymentBooks['deliveries'][number] => ({
  crypto_payment_id: of,
  source: 'webhook',
  told_status: status,
  body_hash: `${of} ${status}`,
});

const BOOKS: PaymentBooks = {
  payments: [payment(P), payment(SPENT, { status: 'refunded', is_refunded: true }), payment(LATER)],
  lots: [lot(P), lot(SPENT), lot(LATER)],
  lotSums: [
    ...[P, SPENT, LATER].flatMap((of) => [sum(of, 'mint', 100n), sum(of, 'bonus', 5n)]),
    sum(SPENT, 'refund', 101n),
    sum(SPENT, 'adjusted:refund', -101n),
    sum(LATER, 'debt_payment', 4n),
  ],
  debts: [{ crypto_payment_id: SPENT, community_id: C, amount_micro: 4n, paid_micro: 4n }],
  events: [
    event(P, 'minted', 105n),
    event(SPENT, 'minted', 105n),
    event(SPENT, 'refunded', 101n),
    event(SPENT, 'indebted', 4n),
    event(LATER, 'minted', 105n),
    event(SPENT, 'debt_paid', 4n),
  ],
  deliveries: [
    ...[P, SPENT, LATER].map((of) => delivery(of, 'finished')),
    delivery(SPENT, 'refunded'),
  ],
  reviews: [],
};

const purchase = (of: string, ...history: string[]): Purchase => ({
  paymentId: of,
  community: C,
  pack: 'standard',
  atVendor: {} as VendorPayment,
  history,
  repeats: 0,
});
const answer = (of: string, status: string): PaymentEvidence['answered'][number] => ({
  paymentId: of,
  status,
  bodyHash: `${of} ${status}`,
  replica: 0,
});

const EVIDENCE: PaymentEvidence = {
  purchases: [
    purchase(P, 'waiting', 'finished'),
    purchase(SPENT, 'finished', 'refunded'),
    purchase(LATER, 'finished'),
  ],
  attempts: [P, SPENT, LATER].map((of) => ({
    community: C,
    idempotencyKey: `key-${of}`,
    pack: 'standard',
    startedAtMs: 0,
    status: 201,
    retryAfter: undefined,
    paymentId: of,
  })),
  answered: [P, SPENT, LATER].map((of) => answer(of, 'finished')),
};

/** The invariants that these facts break. */
function broken(facts: {
  readonly books?: Partial<PaymentBooks>;
  readonly evidence?: Partial<PaymentEvidence>;
}): string[] {
  const books = { ...BOOKS, ...facts.books };
  return [...auditPayments(books, { ...EVIDENCE, ...facts.evidence }), ...auditRefunds(books)]
    .filter(({ ok }) => !ok)
    .map(({ invariant }) => invariant);
}

const [first, spent, later] = BOOKS.payments;
const { events, lots, lotSums } = BOOKS;

describe('the audit of payments', () => {
  it('finds nothing wrong with right books', () => {
    expect(broken({})).toEqual([]);
  });

  it('finds a second lot, a second mint, and a lot without a payment', () => {
    const again = { ...lot(P), lot_id: 'again' };
    expect(broken({ books: { lots: [...lots, again] } })).toEqual([MINTED_ONCE]);
    const twice = [event(P, 'minted', 105n), ...events];
    expect(broken({ books: { events: twice } })).toEqual([MINTED_ONCE]);
    const stray = { ...lot(P), source_ref: `payment:${id('other')}` };
    expect(broken({ books: { lots: [...lots, stray] } })).toEqual([MINTED_ONCE]);
  });

  it('finds credits that are not those that were agreed', () => {
    const less = lotSums.map((row) => (row.kind === 'bonus' ? { ...row, amount_micro: 4n } : row));
    expect(broken({ books: { lotSums: less } })).toEqual([MINTED_ONCE]);
  });

  it('finds credits of which the vendor never said that they were paid', () => {
    const deliveries = BOOKS.deliveries.filter((row) => row.crypto_payment_id !== P);
    const answered = EVIDENCE.answered.filter((one) => one.paymentId !== P);
    expect(broken({ books: { deliveries }, evidence: { answered } })).toEqual([FINISH_HEARD]);
    const purchases = [purchase(P, 'waiting', 'expired'), ...EVIDENCE.purchases.slice(1)];
    expect(broken({ evidence: { purchases } })).toEqual([PAYMENT_STATES, FINISH_HEARD]);
  });

  it('finds a notice that was taken and is not there, or was taken once more than it is', () => {
    const answered = [...EVIDENCE.answered, answer(P, 'finished')];
    expect(broken({ evidence: { answered } })).toEqual([NOTICES_KEPT]);
  });

  it.each([
    ['stands elsewhere', { status: 'sending' }],
    ['was not credited', { is_minted: false, lot_id: null }],
    ['was refunded', { is_refunded: true }],
  ])('finds a payment that %s', (_what, change) => {
    const payments = [{ ...first!, ...change }, spent!, later!];
    expect(broken({ books: { payments } })).toContain(PAYMENT_STATES);
  });

  it('finds a review that nobody expected, and misses the one of a partial payment', () => {
    const review = { crypto_payment_id: P, reason: 'overpaid', is_open: true };
    expect(broken({ books: { reviews: [review] } })).toEqual([PAYMENT_STATES]);
    const partial = { status: 'partially_paid', is_minted: false, lot_id: null };
    const facts = {
      books: {
        payments: [payment(P, partial)],
        lots: [],
        lotSums: [],
        events: [],
        debts: [],
        deliveries: [delivery(P, 'partially_paid')],
      },
      evidence: { purchases: [purchase(P, 'partially_paid')], answered: [] },
    };
    const told = { evidence: { ...facts.evidence, attempts: EVIDENCE.attempts.slice(0, 1) } };
    expect(broken({ ...facts, ...told })).toEqual([PAYMENT_STATES]);
    const reviews = [{ ...review, reason: 'partially_paid' }];
    expect(broken({ books: { ...facts.books, reviews }, ...told })).toEqual([]);
  });

  it('finds a key that bought twice, and a payment that is gone', () => {
    const again = { ...EVIDENCE.attempts[0]!, paymentId: SPENT };
    expect(broken({ evidence: { attempts: [...EVIDENCE.attempts, again] } })).toEqual([SOLD_ONCE]);
    expect(broken({ books: { payments: [spent!, later!] } })).toContain(SOLD_ONCE);
  });

  it('finds a refusal that says nothing of when to come back', () => {
    const refused = { ...EVIDENCE.attempts[0]!, status: 503, paymentId: undefined };
    const attempts = [...EVIDENCE.attempts, { ...refused, retryAfter: 5 }];
    expect(broken({ evidence: { attempts } })).toEqual([]);
    expect(broken({ evidence: { attempts: [...attempts, refused] } })).toEqual([POLITE_SHOP]);
  });
});

describe('the audit of refunds', () => {
  it.each([
    ['too little', sum(SPENT, 'refund', 100n)],
    ['a second time', sum(SPENT, 'refund', 202n)],
    ['what its lot does not show', sum(SPENT, 'adjusted:refund', -100n)],
  ])('finds one that took back %s', (_what, wrong) => {
    const rows = lotSums.map((row) =>
      row.lot_id === wrong.lot_id && row.kind === wrong.kind ? wrong : row,
    );
    expect(broken({ books: { lotSums: rows } })).toEqual([REFUNDS]);
  });

  it('finds a debt that is forgotten, and one that a purchase should have paid', () => {
    expect(broken({ books: { debts: [] } })).toEqual([REFUNDS, DEBTS]);
    const unpaid = [{ ...BOOKS.debts[0]!, paid_micro: 0n }];
    expect(broken({ books: { debts: unpaid } })).toEqual([DEBTS]);
    expect(broken({ books: { debts: unpaid, events: events.slice(0, -1) } })).toEqual([DEBTS]);
  });

  it('finds a newer debt that was paid before an older one', () => {
    const [mint, ...rest] = [event(P, 'minted', 105n), event(LATER, 'minted', 2n)];
    const owed = [event(id('a'), 'indebted', 2n), event(id('b'), 'indebted', 2n)];
    const debt = (of: string, paid: bigint) => ({
      crypto_payment_id: id(of),
      community_id: C,
      amount_micro: 2n,
      paid_micro: paid,
    });
    const told = (of: string) => [mint, ...owed, ...rest, event(id(of), 'debt_paid', 2n)];
    const right = { ...BOOKS, events: told('a'), debts: [debt('a', 2n), debt('b', 0n)] };
    const wrong = { ...BOOKS, events: told('b'), debts: [debt('a', 0n), debt('b', 2n)] };
    const verdict = (books: PaymentBooks) =>
      auditRefunds(books).find((one) => one.invariant === DEBTS);
    expect(verdict(right)?.ok).toBe(true);
    expect(verdict(wrong)?.ok).toBe(false);
  });
});

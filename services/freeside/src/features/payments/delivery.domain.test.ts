import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseDecimal, type Decimal } from './decimal.domain.ts';
import {
  DELIVERY_SOURCES,
  decide,
  type Decision,
  type KnownPayment,
  type VendorReport,
} from './delivery.domain.ts';
import { PAYMENT_STATUSES, type PaymentStatus } from './payment-state.domain.ts';

const decimal = (text: string): Decimal => parseDecimal(text)!;

/** Where no operator has had a hand in it. */
const CREDITS: Partial<Record<PaymentStatus, KnownPayment['credits']>> = {
  finished: 'given',
  refunded: 'taken_back',
};

const known = (status: PaymentStatus, change: Partial<KnownPayment> = {}): KnownPayment => ({
  status,
  credits: CREDITS[status] ?? 'none',
  vendorPaymentId: '5077125051',
  payCurrency: 'trx',
  priceMicro: 10_000_000n,
  lastUpdatedAtMs: null,
  ...change,
});

const report = (status: string, change: Partial<VendorReport> = {}): VendorReport => ({
  paymentId: '5077125051',
  parentPaymentId: null,
  orderId: '0190a0a0-0000-7000-8000-000000000001',
  invoiceId: '4522625843',
  status,
  priceAmount: decimal('10'),
  priceCurrency: 'usd',
  payAmount: decimal('80.5'),
  actuallyPaid: decimal('80.5'),
  payCurrency: 'trx',
  updatedAtMs: null,
  ...change,
});

const told = ({ outcome, to, review }: Decision): string =>
  [outcome, to, review].filter((part) => part !== undefined).join(' ');

/** Rows are what is known, columns what is reported, in the order of the statuses. */
const TABLE: Readonly<Record<PaymentStatus, readonly string[]>> = (() => {
  const [same, old] = ['repeat', 'stale'];
  const on = (to: PaymentStatus): string => `advanced ${to}`;
  const partial = 'advanced partially_paid partially_paid';
  const early = 'review refund_before_finish';
  const late = 'review paid_after_end';
  const against = 'review contradicts_finish';
  const end = [on('failed'), on('expired'), early];
  return {
    waiting: [
      same,
      on('confirming'),
      on('confirmed'),
      on('sending'),
      partial,
      on('finished'),
      ...end,
    ],
    confirming: [old, same, on('confirmed'), on('sending'), partial, on('finished'), ...end],
    confirmed: [old, old, same, on('sending'), partial, on('finished'), ...end],
    sending: [old, old, old, same, partial, on('finished'), ...end],
    partially_paid: [old, old, old, old, same, on('finished'), ...end],
    finished: [old, old, old, old, old, same, against, against, on('refunded')],
    failed: [old, old, old, old, late, late, same, old, early],
    expired: [old, old, old, old, late, late, old, same, early],
    refunded: [old, old, old, old, old, old, old, old, same],
  };
})();

describe('a report of the vendor', () => {
  for (const from of PAYMENT_STATUSES) {
    it(`means for a payment that is ${from} what the table says`, () => {
      const row = PAYMENT_STATUSES.map((to) => told(decide(known(from), report(to), 'webhook')));
      expect(row).toEqual(TABLE[from]);
    });
  }

  it('credits only what was agreed', () => {
    const faults: [Partial<VendorReport>, string][] = [
      [{ parentPaymentId: '5077125051', paymentId: '6000000001' }, 'review repeated_deposit'],
      [{ status: 'wrong_asset_confirmed' }, 'review unknown_status'],
      [{ status: 'cancelled' }, 'review unknown_status'],
      [{ status: 'Finished' }, 'review unknown_status'],
      [{ status: '__proto__' }, 'review unknown_status'],
      [{ priceAmount: decimal('9.999999') }, 'review wrong_price'],
      [{ priceAmount: decimal('10.0000001') }, 'review wrong_price'],
      [{ priceCurrency: 'eur' }, 'review wrong_currency'],
      [{ payCurrency: 'usdttrc20' }, 'review wrong_asset'],
      [{ payCurrency: null }, 'review wrong_asset'],
      [{ actuallyPaid: null }, 'review amount_missing'],
      [{ payAmount: null }, 'review amount_missing'],
      [{ payAmount: decimal('0'), actuallyPaid: decimal('0') }, 'review amount_missing'],
      [{ actuallyPaid: decimal('80.49999999999') }, 'review underpaid'],
      [{ actuallyPaid: decimal('8.05e1') }, 'advanced finished'],
      [{ priceAmount: decimal('1.0e1') }, 'advanced finished'],
      [{ actuallyPaid: decimal('80.50000000001') }, 'advanced finished overpaid'],
    ];
    for (const [change, meaning] of faults) {
      expect(told(decide(known('sending'), report('finished', change), 'webhook'))).toBe(meaning);
    }
  });

  it('binds the vendor’s number by the first of them', () => {
    const unbound = known('waiting', { vendorPaymentId: null, payCurrency: null });
    expect(decide(unbound, report('waiting'), 'webhook')).toEqual({
      outcome: 'bound',
      binds: true,
    });
    expect(decide(unbound, report('finished'), 'webhook')).toMatchObject({
      to: 'finished',
      binds: true,
    });
  });

  it('of another payment of the invoice replaces one that has not moved, and no other', () => {
    const other = (status: string): VendorReport =>
      report(status, { paymentId: '6000000001', payCurrency: 'btc' });
    const meanings = PAYMENT_STATUSES.map((status) =>
      told(decide(known('waiting'), other(status), 'webhook')),
    );
    expect(meanings).toEqual([
      'superseded',
      'advanced confirming',
      'advanced confirmed',
      'advanced sending',
      'advanced partially_paid partially_paid',
      'advanced finished',
      'superseded',
      'superseded',
      'review refund_before_finish',
    ]);
    for (const status of PAYMENT_STATUSES.filter((one) => one !== 'waiting')) {
      expect(told(decide(known(status), other('finished'), 'webhook'))).toBe(
        'review second_payment',
      );
      expect(told(decide(known(status), other('expired'), 'webhook'))).toBe('superseded');
    }
  });

  it('takes a further deposit for the payment’s own once an operator has credited it', () => {
    const child = (status: string): VendorReport =>
      report(status, { paymentId: '6000000001', parentPaymentId: '5077125051' });
    const credited = known('finished', { vendorPaymentId: '6000000001' });
    const meanings = ['finished', 'refunded', 'expired'].map((status) =>
      told(decide(credited, child(status), 'webhook')),
    );
    expect(meanings).toEqual(['repeat', 'advanced refunded', 'review contradicts_finish']);
    expect(told(decide(credited, report('refunded'), 'webhook'))).toBe('review second_payment');
  });

  it('of a payment that an operator credited after its end is no case but for a refund', () => {
    for (const status of ['failed', 'expired'] as const) {
      const meanings = (credits: KnownPayment['credits']): string[] =>
        ['partially_paid', 'finished', 'refunded'].map((to) =>
          told(decide(known(status, { credits }), report(to), 'webhook')),
        );
      expect(meanings('given')).toEqual(['repeat', 'repeat', 'review refund_after_credit']);
      expect(meanings('taken_back')).toEqual(['repeat', 'repeat', 'repeat']);
    }
  });

  it('is refunded what an operator credited at another price', () => {
    const other = { priceAmount: decimal('9'), priceCurrency: 'eur' };
    const refund = report('refunded', other);
    expect(told(decide(known('finished'), refund, 'webhook'))).toBe('advanced refunded');
    expect(told(decide(known('finished'), report('finished', other), 'webhook'))).toBe('repeat');
    expect(told(decide(known('sending'), refund, 'webhook'))).toBe('review wrong_currency');
  });

  it('changes nothing when it is no newer than the last one', () => {
    const seen = known('waiting', { lastUpdatedAtMs: 1_000 });
    const at = (updatedAtMs: number): VendorReport => report('finished', { updatedAtMs });
    expect(decide(seen, at(999), 'webhook').outcome).toBe('stale');
    expect(decide(seen, at(1_000), 'webhook').outcome).toBe('stale');
    expect(decide(seen, at(1_001), 'webhook').outcome).toBe('advanced');
    // Who asks is told what stands now, also when its notice of that moment said less.
    expect(decide(seen, at(1_000), 'poll').outcome).toBe('advanced');
    expect(decide(seen, at(999), 'poll').outcome).toBe('stale');
  });

  it('never takes a payment back, whatever comes in whatever order', () => {
    const anyStatus = fc.constantFrom(...PAYMENT_STATUSES, 'cancelled');
    const anyReport = fc.record({
      status: anyStatus,
      paymentId: fc.constantFrom('5077125051', '6000000001'),
      updatedAtMs: fc.option(fc.nat(5)),
      source: fc.constantFrom(...DELIVERY_SOURCES),
    });
    fc.assert(
      fc.property(fc.array(anyReport, { maxLength: 30 }), (reports) => {
        let payment = known('waiting', { vendorPaymentId: null });
        const credits: PaymentStatus[] = [];
        for (const { source, ...change } of reports) {
          const decision = decide(payment, report(change.status, change), source);
          if (decision.to === undefined) continue;
          if (decision.to === 'finished' || decision.to === 'refunded') credits.push(decision.to);
          payment = {
            ...payment,
            status: decision.to,
            credits: CREDITS[decision.to] ?? payment.credits,
            vendorPaymentId: change.paymentId,
          };
        }
        expect([[], ['finished'], ['finished', 'refunded']]).toContainEqual(credits);
      }),
    );
  });
});

describe('a decimal', () => {
  it.each([
    '',
    '-1',
    '+1',
    '01',
    '1.',
    '.5',
    '1e',
    'NaN',
    'Infinity',
    '0x1',
    '1_0',
    '1e61',
    '1e-61',
    '1 ',
    '١',
    '9'.repeat(61),
  ])('is not %j', (text) => {
    expect(parseDecimal(text)).toBeUndefined();
  });
});

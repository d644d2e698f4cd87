import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseJsonText } from './json-text.domain.ts';
import {
  readReport,
  redactReport,
  restoreReport,
  type ReportReading,
} from './vendor-report.domain.ts';

const read = (value: unknown) => readReport(parseJsonText(JSON.stringify(value)));

/** As the vendor sent them until 2022, with its own moments. */
const OLDER = {
  payment_id: 5077125051,
  payment_status: 'waiting',
  pay_address: '0xd1cDE08A07cD25adEbEd35c3867a59228C09B606',
  price_amount: 170,
  price_currency: 'usd',
  pay_amount: 155.38559757,
  actually_paid: 0,
  pay_currency: 'mana',
  order_id: '0190a0a0-0000-7000-8000-000000000001',
  order_description: 'Starter',
  purchase_id: '6084744717',
  created_at: '2021-04-12T14:22:54.942Z',
  updated_at: '2021-04-12T14:23:06.244Z',
  outcome_amount: 1131.7812095,
  outcome_currency: 'trx',
};

/** As it sends them now: no moments, a fee, and what is null. */
const NEWER = {
  payment_id: 123456789,
  parent_payment_id: 987654321,
  invoice_id: null,
  payment_status: 'finished',
  pay_address: 'TVZ9nJvFAUKGwM3PLoCmRBm4nk5p8LxVEx',
  payin_extra_id: null,
  price_amount: 1,
  price_currency: 'usd',
  pay_amount: 15,
  actually_paid: 15,
  actually_paid_at_fiat: 0,
  pay_currency: 'trx',
  order_id: null,
  order_description: null,
  purchase_id: '123456789',
  outcome_amount: 14.8106,
  outcome_currency: 'trx',
  payment_extra_ids: null,
  fee: { currency: 'btc', depositFee: 0.09853637216235617, withdrawalFee: 0, serviceFee: 0 },
};

describe('a report', () => {
  it('is read in both generations', () => {
    expect(read(OLDER)).toMatchObject({
      ok: true,
      report: {
        paymentId: '5077125051',
        parentPaymentId: null,
        status: 'waiting',
        priceAmount: { digits: 170n, scale: 0 },
        payAmount: { digits: 15538559757n, scale: 8 },
        payCurrency: 'mana',
        updatedAtMs: Date.UTC(2021, 3, 12, 14, 23, 6, 244),
      },
    });
    expect(read(NEWER)).toMatchObject({
      ok: true,
      report: { parentPaymentId: '987654321', orderId: null, invoiceId: null, updatedAtMs: null },
    });
    const texts = {
      ...NEWER,
      payment_id: '123456789',
      price_amount: '1.00',
      updated_at: 1655390300000,
    };
    expect(read(texts)).toMatchObject({
      ok: true,
      report: { paymentId: '123456789', updatedAtMs: 1655390300000 },
    });
  });

  it.each([
    [{ payment_id: undefined }, '/payment_id'],
    [{ payment_id: null }, '/payment_id'],
    [{ payment_id: -1 }, '/payment_id'],
    [{ payment_id: 1.5 }, '/payment_id'],
    [{ payment_id: '1e9' }, '/payment_id'],
    [{ payment_id: '١٢٣' }, '/payment_id'],
    [{ payment_id: [1] }, '/payment_id'],
    [{ payment_id: '9'.repeat(21) }, '/payment_id'],
    [{ parent_payment_id: {} }, '/parent_payment_id'],
    [{ order_id: '' }, '/order_id'],
    [{ order_id: 'a\u0007' }, '/order_id'],
    [{ order_id: true }, '/order_id'],
    [{ payment_status: 'very finished' }, '/payment_status'],
    [{ payment_status: '' }, '/payment_status'],
    [{ payment_status: null }, '/payment_status'],
    [{ price_amount: '10,5' }, '/price_amount'],
    [{ price_amount: -10 }, '/price_amount'],
    [{ price_amount: '1e999' }, '/price_amount'],
    [{ price_currency: 840 }, '/price_currency'],
    [{ price_currency: 'u$d' }, '/price_currency'],
    [{ pay_amount: '' }, '/pay_amount'],
    [{ actually_paid: false }, '/actually_paid'],
    [{ pay_currency: '' }, '/pay_currency'],
    [{ updated_at: 'yesterday' }, '/updated_at'],
    [{ updated_at: '2021-13-45T14:23:06Z' }, '/updated_at'],
    [{ updated_at: '2021-04-12T14:23:06' }, '/updated_at'],
    [{ updated_at: 1.5 }, '/updated_at'],
  ])('with %j names the field', (change, field) => {
    const reading = read({ ...OLDER, ...change });
    expect(reading).toMatchObject({ ok: false, errors: [{ field }] });
  });

  it('names every field that is wrong', () => {
    expect(read({})).toMatchObject({ ok: false, errors: [{}, {}, {}, {}] });
    expect(read([])).toMatchObject({ ok: false, errors: [{ field: '/' }] });
  });

  it('is kept without addresses and read again as it was', () => {
    for (const notice of [OLDER, NEWER]) {
      const body = parseJsonText(JSON.stringify(notice));
      const kept = redactReport(body);
      expect(JSON.stringify(kept)).not.toContain(notice.pay_address);
      expect(JSON.stringify(kept)).not.toContain('Starter');
      expect(readReport(restoreReport(kept))).toEqual(readReport(body));
    }
  });

  it('is refused again when it was refused, whatever was wrong with it', () => {
    const value = fc.oneof(
      fc.constantFrom<unknown>('finished', 'usd', '10', 10, 840, '2026-01-01T00:00:00Z', '🜁', null),
      fc.constantFrom<unknown>({}, [], true, false, [1], { a: 1 }, undefined),
      fc.integer({ min: 80, max: 130 }).map((length) => '1'.repeat(length)),
      fc.integer({ min: 95, max: 105 }).map((length) => `${'x'.repeat(length)}🜁🜁`),
      fc.string({ unit: 'grapheme', maxLength: 130 }).filter((text) => !text.includes('\0')),
      fc.double({ noNaN: true, noDefaultInfinity: true }),
    );
    const names = Object.keys(NOTICE) as (keyof typeof NOTICE)[];
    const changes = fc.record(Object.fromEntries(names.map((name) => [name, value])), {
      requiredKeys: [],
    });
    fc.assert(
      fc.property(changes, (change) => {
        const body = parseJsonText(JSON.stringify({ ...NOTICE, ...change }));
        const kept = redactReport(body);
        for (const text of Object.values(kept)) {
          expect(text.isWellFormed()).toBe(true);
          expect(text.length).toBeLessThanOrEqual(100);
        }
        expect(withoutOrder(readReport(restoreReport(kept)))).toEqual(
          withoutOrder(readReport(body)),
        );
      }),
      { numRuns: 2_000 },
    );
  });

  it.each(['person@shop.example', 'order-1', 'ein Name', '0190a0a0-0000-7000-8000-00000000000'])(
    'of the order %s, which is none of ours, is kept without that name',
    (order_id) => {
      const body = parseJsonText(JSON.stringify({ ...NOTICE, order_id }));
      const kept = redactReport(body);
      expect(JSON.stringify(kept)).not.toContain(order_id);
      const again = readReport(restoreReport(kept));
      expect(again.ok).toBe(readReport(body).ok);
      // Of no order at all it would be bound by the vendor's numbers.
      expect(again).not.toMatchObject({ report: { orderId: null } });
    },
  );
});

const NOTICE = {
  payment_id: 5077125051,
  parent_payment_id: null,
  order_id: '0190a0a0-0000-7000-8000-000000000001',
  invoice_id: 1,
  payment_status: 'finished',
  price_amount: 10,
  price_currency: 'usd',
  pay_amount: 80.5,
  actually_paid: 80.5,
  pay_currency: 'trx',
  updated_at: '2021-04-12T14:23:06.244Z',
};

/** What is read, but for the name of an order; of what is refused only that it is. */
function withoutOrder(reading: ReportReading): unknown {
  if (!reading.ok) return 'refused';
  return { ...reading.report, orderId: reading.report.orderId === null };
}

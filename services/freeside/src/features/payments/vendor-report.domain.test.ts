import { describe, expect, it } from 'vitest';
import { parseJsonText } from './json-text.domain.ts';
import { readReport, redactReport, restoreReport } from './vendor-report.domain.ts';

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
});

import { createHmac, randomUUID } from 'node:crypto';
import type { Problem } from '@arrakis/contracts';
import { signNotice } from '@arrakis/testkit';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { TestKey } from '../inference/test-support/harness.ts';
import { PaymentRepair } from './repair.service.ts';
import { newEvents, newIntake, notice } from './test-support/payment-fixture.ts';
import { API_KEY, IPN_SECRET, Shop } from './test-support/shop.ts';

let shop: Shop;
let key: TestKey;
let stranger: TestKey;
let paymentId: string;
/** Each test from an address of its own, so that none is slowed by another's forgeries. */
let addresses = 0;

beforeAll(async () => {
  shop = await Shop.open({ trustedProxies: ['127.0.0.1'] });
  key = await shop.harness.openCommunity({ micro: 0n });
  stranger = await shop.harness.openCommunity({ micro: 0n });
  paymentId = (await shop.buy(key)).id;
});
afterAll(async () => {
  expect(await shop.harness.undocumentedAnswers()).toEqual([]);
  expect(await shop.drift()).toEqual([]);
  await shop.close();
});

const sign = (body: string): string => createHmac('sha512', IPN_SECRET).update(body).digest('hex');

function nextAddress(): string {
  addresses += 1;
  return `10.1.${Math.floor(addresses / 250)}.${(addresses % 250) + 1}`;
}

async function tell(
  body: string | Uint8Array,
  headers: Record<string, string> = {},
): Promise<[number, Problem]> {
  const from = { 'x-forwarded-for': nextAddress() };
  const response = await shop.notify(body, { ...from, ...headers });
  const answer = (await response.json()) as Problem;
  for (const secret of [IPN_SECRET, API_KEY, 'TVZ9', 'finished']) {
    expect(JSON.stringify(answer)).not.toContain(secret);
  }
  return [response.status, answer];
}
const tellSigned = (body: string): Promise<[number, Problem]> =>
  tell(body, { 'x-nowpayments-sig': sign(body) });

async function snapshot(): Promise<unknown> {
  const { rows } = await shop.harness.db.query(
    `SELECT (SELECT jsonb_agg(p ORDER BY id) FROM freeside.crypto_payments p) AS payments,
            (SELECT jsonb_agg(l ORDER BY id) FROM freeside.credit_lots l) AS lots,
            (SELECT count(*) FROM freeside.payment_deliveries) AS deliveries,
            (SELECT count(*) FROM freeside.payment_reviews) AS reviews`,
  );
  return rows;
}

describe('a notice that nobody signed', () => {
  it('changes no row, whatever is wrong with it', async () => {
    const before = await snapshot();
    const good = JSON.stringify(notice(paymentId, 'finished'));
    const forged: [string | Uint8Array, Record<string, string>, number, string][] = [
      [good, {}, 401, 'invalid_signature'],
      [good, { 'x-nowpayments-sig': '' }, 401, 'invalid_signature'],
      [good, { 'x-nowpayments-sig': 'x' }, 401, 'invalid_signature'],
      [good, { 'x-nowpayments-sig': '0'.repeat(128) }, 401, 'invalid_signature'],
      [good, { 'x-nowpayments-sig': sign(good).slice(0, 64) }, 401, 'invalid_signature'],
      [good, { 'x-nowpayments-sig': `${sign(good)}, ${sign(good)}` }, 401, 'invalid_signature'],
      [
        good,
        { 'x-nowpayments-sig': createHmac('sha512', '').update(good).digest('hex') },
        401,
        'invalid_signature',
      ],
      [
        good.replace('finished', 'Finished'),
        { 'x-nowpayments-sig': sign(good) },
        401,
        'invalid_signature',
      ],
      ['', {}, 400, 'malformed_json'],
      ['{', {}, 400, 'malformed_json'],
      ['{"a":1,"a":1}', {}, 400, 'malformed_json'],
      ['{"__proto__":{}}', {}, 400, 'malformed_json'],
      [Uint8Array.from([0x7b, 0xff, 0x7d]), {}, 400, 'invalid_encoding'],
      [good, { 'content-type': 'text/plain' }, 415, 'unsupported_media_type'],
      [
        good,
        { 'content-type': 'application/x-www-form-urlencoded' },
        415,
        'unsupported_media_type',
      ],
      [good, { 'content-encoding': 'gzip' }, 415, 'unsupported_media_type'],
      [`"${'x'.repeat(17_000)}"`, {}, 413, 'body_too_large'],
    ];
    for (const [body, headers, status, code] of forged) {
      const [got, problem] = await tell(body, headers);
      expect(
        [got, problem.code],
        `${String(body).slice(0, 40)} ${JSON.stringify(headers)}`,
      ).toEqual([status, code]);
    }
    expect(await snapshot()).toEqual(before);
  });

  it('is refused unread once its address has sent a hundred, and other addresses are not', async () => {
    const address = { 'x-forwarded-for': '192.0.2.7' };
    let refused: Response | undefined;
    for (let n = 0; n < 150 && refused === undefined; n += 1) {
      const response = await shop.notify('{}', address);
      await response.arrayBuffer();
      if (response.status === 429) refused = response;
    }
    expect(refused?.headers.get('retry-after')).toMatch(/^[1-9]\d*$/);
    const genuine = JSON.stringify(notice(randomUUID(), 'waiting', { payment_id: 77 }));
    expect((await tellSigned(genuine))[0]).toBe(404);
  });
});

describe('a flood of forged notices', () => {
  it('keeps no genuine one out and writes nothing', async () => {
    const buyer = await shop.harness.openCommunity({ micro: 0n });
    const told = await Promise.all(
      Array.from({ length: 20 }, async (_, n) => {
        const { id } = await shop.buy(buyer);
        return JSON.stringify(notice(id, 'finished', { payment_id: 880_000 + n }));
      }),
    );
    const forged = { 'x-nowpayments-sig': '0'.repeat(128) };
    const flood = Array.from({ length: 600 }, async (_, n) => {
      const from = { 'x-forwarded-for': `198.51.100.${n % 3}` };
      const response = await shop.notify(told[n % 20]!, { ...forged, ...from });
      await response.arrayBuffer();
      return response.status;
    });
    const genuine = await Promise.all(
      told.map(async (body) => {
        const from = { 'x-forwarded-for': '203.0.113.9' };
        const response = await shop.notify(body, { ...from, 'x-nowpayments-sig': sign(body) });
        return response.status;
      }),
    );
    expect(genuine).toEqual(Array<number>(20).fill(200));
    expect(new Set(await Promise.all(flood))).toEqual(new Set([401]));
    const { rows } = await shop.harness.db.query(
      `SELECT count(*)::int AS kept FROM freeside.payment_deliveries d
       JOIN freeside.crypto_payments p ON p.id = d.crypto_payment_id WHERE p.community_id = $1`,
      [buyer.communityId],
    );
    expect(rows).toEqual([{ kept: 20 }]);
    expect(await shop.balance(buyer)).toMatchObject({ available: '210000000' });
  });
});

describe('a signed notice', () => {
  it.each([
    [{ payment_id: null }, '/payment_id'],
    [{ payment_id: '1 OR 1=1' }, '/payment_id'],
    [{ payment_id: 1.5 }, '/payment_id'],
    [{ price_amount: 'ten' }, '/price_amount'],
    [{ price_amount: '1e500' }, '/price_amount'],
    [{ actually_paid: -1 }, '/actually_paid'],
    [{ order_id: 'é' }, '/order_id'],
    [{ order_id: {} }, '/order_id'],
    [{ payment_status: ['finished'] }, '/payment_status'],
    [{ updated_at: '0000-99-99' }, '/updated_at'],
  ])('with %j is told which field is wrong', async (change, field) => {
    const [status, problem] = await tellSigned(
      JSON.stringify(notice(paymentId, 'finished', change)),
    );
    expect([status, problem.code]).toEqual([400, 'invalid_request']);
    expect(problem.errors).toMatchObject([{ field }]);
  });

  it('of the far end of time or of numbers is no failure of ours', async () => {
    for (const change of [
      { updated_at: 999_999_999_999_999 },
      { updated_at: 0 },
      { updated_at: '9999-12-31T23:59:59.999999999Z' },
      { payment_id: '99999999999999999999' },
      { actually_paid: '9'.repeat(60) },
      { pay_amount: '1e-60', actually_paid: '1e60' },
    ]) {
      const waiting = notice((await shop.buy(stranger)).id, 'waiting', {
        payment_id: Math.floor(Math.random() * 1e9),
        ...change,
      });
      const [status] = await tellSigned(JSON.stringify(waiting));
      expect(status, JSON.stringify(change)).toBe(200);
    }
  });

  it('for nothing of ours is 404 and kept without addresses', async () => {
    const body = JSON.stringify(notice(randomUUID(), 'finished', { payment_id: 4242 }));
    expect(await tellSigned(body)).toMatchObject([404, { code: 'not_found' }]);
    const { rows } = await shop.harness.db.query<{ text: string }>(
      `SELECT d::text AS text FROM freeside.payment_deliveries d WHERE vendor_payment_id = '4242'`,
    );
    expect(rows).toHaveLength(1);
    expect(rows[0]?.text).not.toContain('TVZ9');
  });

  it('that is unreadable is kept, repeated alike, and never told again as another', async () => {
    const id = (await shop.buy(stranger)).id;
    const unreadable = [
      { payment_id: 616_161, payment_status: `${'x'.repeat(99)}🜁` },
      { payment_id: 616_162, parent_payment_id: {} },
      { payment_id: 616_163, parent_payment_id: [1] },
      { payment_id: 616_164, parent_payment_id: true },
      { payment_id: 616_165, price_currency: 840 },
      { payment_id: 616_166, order_id: 'x'.repeat(101) },
    ];
    for (const change of unreadable) {
      const body = JSON.stringify(notice(id, 'finished', change));
      for (let n = 0; n < 2; n += 1) {
        const [status, problem] = await tellSigned(body);
        expect([status, problem.code], body).toEqual([400, 'invalid_request']);
      }
    }
    const db = shop.harness.db;
    const repair = new PaymentRepair({ db, intake: newIntake(db), events: newEvents() });
    const { rows } = await shop.harness.db.query<{ id: string }>(
      `SELECT id::text AS id FROM freeside.payment_deliveries
       WHERE outcome = 'malformed' AND report ->> 'payment_id' LIKE '61616_'`,
    );
    expect(rows).toHaveLength(2 * unreadable.length);
    for (const row of rows) expect(await repair.replay(row.id)).toEqual({ kind: 'unreadable' });
    expect(await shop.balance(stranger)).toMatchObject({ available: '0' });
  });

  it('of another shop is kept without what that calls its order', async () => {
    const body = JSON.stringify(notice('chani@sietch.example', 'finished', { payment_id: 4343 }));
    expect(await tellSigned(body)).toMatchObject([404, { code: 'not_found' }]);
    const { rows } = await shop.harness.db.query<{ text: string }>(
      `SELECT d::text AS text FROM freeside.payment_deliveries d WHERE vendor_payment_id = '4343'`,
    );
    expect(rows).toHaveLength(1);
    expect(rows[0]?.text).not.toContain('chani');
  });

  it('is taken ten times an hour for one payment, and then asked to wait', async () => {
    const told = notice((await shop.buy(stranger)).id, 'waiting', { payment_id: 515151 });
    const statuses: number[] = [];
    for (let n = 0; n < 12; n += 1) statuses.push((await tellSigned(JSON.stringify(told)))[0]);
    expect(statuses).toEqual([...Array<number>(10).fill(200), 429, 429]);
    const body = JSON.stringify(told);
    const last = await shop.notify(body, { 'x-nowpayments-sig': signNotice(told, IPN_SECRET) });
    expect(Number(last.headers.get('retry-after'))).toBeGreaterThan(3_000);
  });
});

describe('payments', () => {
  it('are for keys only', async () => {
    for (const path of ['/api/v1/payments', `/api/v1/payments/${paymentId}`]) {
      const response = await fetch(`${shop.harness.url}${path}`);
      expect(response.status).toBe(401);
    }
    const anonymous = await fetch(`${shop.harness.url}/api/v1/payments`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'idempotency-key': 'a' },
      body: '{"pack":"starter"}',
    });
    expect(anonymous.status).toBe(401);
  });

  it('never tell of another community’s', async () => {
    const answers = await Promise.all(
      [paymentId, randomUUID()].map(async (id) => {
        const response = await shop.get(stranger, `/api/v1/payments/${id}`);
        return { ...((await response.json()) as Problem), requestId: '' };
      }),
    );
    expect(answers[0]).toEqual(answers[1]);
    expect(answers[0]).toMatchObject({ status: 404, code: 'not_found' });
    const list = await (await shop.get(stranger, '/api/v1/payments?limit=100')).text();
    expect(list).not.toContain(paymentId);
  });

  it.each([
    ['?limit=0', 'query:limit'],
    ['?limit=101', 'query:limit'],
    ['?limit=1e1', 'query:limit'],
    ['?cursor=x', 'query:cursor'],
    ['?cursor=2026-01-01T00:00:00.000000Z_1', 'query:cursor'],
    ['?cursor=2026-99-01T00:00:00.000000Z_00000000-0000-7000-8000-000000000000', 'query:cursor'],
    ['?cursor=2026-02-30T00:00:00.000000Z_00000000-0000-7000-8000-000000000000', 'query:cursor'],
    ['?cursor=2026-01-01T24:00:00.000000Z_00000000-0000-7000-8000-000000000000', 'query:cursor'],
    ['?cursor=0000-01-01T00:00:00.000000Z_00000000-0000-7000-8000-000000000000', 'query:cursor'],
    ['?page=1', 'query:page'],
    ['/x', 'path:paymentId'],
    [`/${randomUUID().toUpperCase()}`, 'path:paymentId'],
  ])('at %s name the fault', async (path, field) => {
    const response = await shop.get(key, `/api/v1/payments${path}`);
    const problem = (await response.json()) as Problem;
    expect(response.status).toBe(400);
    expect(problem.errors?.map((error) => error.field)).toContain(field);
  });

  it.each([
    [{}, 400],
    [{ pack: '' }, 400],
    [{ pack: 1 }, 400],
    [{ pack: 'starter', price: '1' }, 400],
    [{ pack: 'starter\u0000' }, 400],
    [{ pack: 'gift' }, 404],
    [{ pack: "starter' OR 1=1" }, 404],
  ])('are not made of %j', async (body, status) => {
    expect((await shop.post(key, body)).status).toBe(status);
  });

  it('need a key against repetition', async () => {
    for (const idempotencyKey of ['', ' ', 'a b', 'x'.repeat(201)]) {
      const response = await shop.post(key, { pack: 'starter' }, idempotencyKey);
      expect(response.status, JSON.stringify(idempotencyKey)).toBe(400);
    }
    const without = await shop.harness.post('/api/v1/payments', key, { pack: 'starter' });
    expect(without.status).toBe(400);
  });
});

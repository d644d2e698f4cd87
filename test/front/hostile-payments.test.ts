import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { call } from '../e2e/support/platform.ts';
import { JSON_TYPE, faultOf, startFront, type Front } from './support/front.ts';
import {
  KEPT_ATTACKS,
  NOTICE_ATTACKS,
  WEBHOOK,
  noticeText,
  type Target,
} from './support/notice-attacks.ts';
import { startPaymentVendor, type PaymentVendor } from './support/payment-vendor.ts';
import { exchange, head, toBytes } from './support/raw-http.ts';
import { signNotice } from '@arrakis/testkit';

const PAYMENTS = '/api/v1/payments';

let front: Front;
let vendor: PaymentVendor;
let target: Target;
let before: unknown;
/** Each post comes from an address of its own: one that forges a hundred would have to wait. */
let addresses = 0;

beforeAll(async () => {
  vendor = await startPaymentVendor();
  const api = { ...vendor.env.api, FREESIDE_TRUSTED_PROXIES: '127.0.0.1' };
  front = await startFront({ ...vendor.env, api });
  const headers = { 'idempotency-key': 'before' };
  const bought = await call(front, PAYMENTS, { pack: 'starter' }, { headers });
  const { id } = (await bought.json()) as { id: string };
  target = { paymentId: id, ipnSecret: vendor.ipnSecret };
  before = await books();
});
afterAll(async () => {
  await front.stop();
  await vendor.fake.close();
});

/** Every row that means money or a decision about it. */
async function books(): Promise<unknown> {
  const tables = ['crypto_payments', 'payment_events', 'payment_reviews', 'community_debts'];
  const money = ['accounts', 'ledger_entries', 'credit_lots', 'credit_lot_adjustments'];
  const rows = [...tables, ...money].map(async (table) => {
    const text = `SELECT t::text AS row FROM freeside.${table} t ORDER BY 1`;
    return (await front.db.query<{ row: string }>(text)).rows.map(({ row }) => row);
  });
  return Promise.all(rows);
}

async function deliveries(): Promise<number> {
  const { rows } = await front.db.query<{ kept: number }>(
    'SELECT count(*)::int AS kept FROM freeside.payment_deliveries',
  );
  return rows[0]?.kept ?? 0;
}

function from(): string {
  addresses += 1;
  return `X-Forwarded-For: 10.9.${String(addresses >> 8)}.${String(addresses & 255)}`;
}

function post(line: string, headers: readonly string[], bytes: string | Buffer): Buffer {
  const body = toBytes(bytes);
  const length = `Content-Length: ${String(body.length)}`;
  const top = head(line, 'Connection: close', from(), length, ...headers);
  return Buffer.concat([toBytes(top), body]);
}

async function refusal(request: Buffer) {
  const answers = await exchange(front.apiUrl, request);
  expect(answers).toHaveLength(1);
  for (const secret of [vendor.ipnSecret, 'the-vendor-key', 'TVZ9']) {
    expect(answers[0]?.body).not.toContain(secret);
  }
  return faultOf(answers[0]!);
}

describe('a hostile notice', () => {
  it.each(NOTICE_ATTACKS)('%s', async (_what, make, status, code, field) => {
    const { line = `POST ${WEBHOOK} HTTP/1.1`, headers, bytes } = make(target);
    const fault = await refusal(post(line, headers, bytes));
    expect(fault).toMatchObject({ status, code });
    if (field !== undefined) expect(fault.fields).toContain(field);
  });
});

const KEYED = [JSON_TYPE, 'Idempotency-Key: hostile'];
type Hostile = [what: string, line: string, headers: readonly string[], body: string];
const buying = (body: string, headers = KEYED): Hostile => [
  `a purchase of ${body.slice(0, 40)}${headers === KEYED ? '' : ` with ${headers.slice(1).join().slice(0, 40)}`}`,
  `POST ${PAYMENTS} HTTP/1.1`,
  headers,
  body,
];
const asking = (path: string): Hostile => [
  `${PAYMENTS}${path}`.slice(0, 60),
  `GET ${PAYMENTS}${path} HTTP/1.1`,
  [],
  '',
];
const STARTER = '{"pack":"starter"}';

describe('a hostile request about payments', () => {
  it.each<[...Hostile, status: number, code: string, field?: string]>([
    [...buying('{}'), 400, 'invalid_request', '/pack'],
    [...buying('{"pack":null}'), 400, 'invalid_request', '/pack'],
    [...buying('{"pack":["starter"]}'), 400, 'invalid_request', '/pack'],
    [...buying('{"pack":1}'), 400, 'invalid_request', '/pack'],
    [...buying('{"pack":""}'), 400, 'invalid_request', '/pack'],
    [...buying(`{"pack":"${'x'.repeat(32)}"}`), 400, 'invalid_request', '/pack'],
    [...buying('{"pack":"starter","price":"1"}'), 400, 'invalid_request', '/price'],
    [...buying('{"pack":"starter","pack":"premium"}'), 400, 'invalid_request', '/pack'],
    [...buying('{"pack":"starter","__proto__":{}}'), 400, 'invalid_request', '/__proto__'],
    [...buying('{"pack":"\\ud800"}'), 400, 'invalid_encoding', '/pack'],
    [...buying('{"pack":"a\\u0000"}'), 400, 'invalid_encoding', '/pack'],
    [...buying('{"pack":"starter"'), 400, 'malformed_json'],
    [...buying('null'), 400, 'invalid_request', '/'],
    [...buying('["starter"]'), 400, 'invalid_request', '/'],
    [...buying('{"pack":"\xff"}'), 400, 'invalid_encoding', '/'],
    [...buying('{"pack":"gold"}'), 404, 'pack_not_found', '/pack'],
    [...buying('{"pack":"STARTER"}'), 404, 'pack_not_found', '/pack'],
    [...buying('{"pack":"constructor"}'), 404, 'pack_not_found', '/pack'],
    [...buying(STARTER, [JSON_TYPE]), 400, 'invalid_request', 'header:idempotency-key'],
    [
      ...buying(STARTER, [JSON_TYPE, 'Idempotency-Key:']),
      400,
      'invalid_request',
      'header:idempotency-key',
    ],
    [
      ...buying(STARTER, [JSON_TYPE, 'Idempotency-Key: a b']),
      400,
      'invalid_request',
      'header:idempotency-key',
    ],
    [
      ...buying(STARTER, [JSON_TYPE, 'Idempotency-Key: \xe9']),
      400,
      'invalid_request',
      'header:idempotency-key',
    ],
    [
      ...buying(STARTER, [JSON_TYPE, `Idempotency-Key: ${'k'.repeat(201)}`]),
      400,
      'invalid_request',
      'header:idempotency-key',
    ],
    [
      ...buying('{"pack":"premium"}', [JSON_TYPE, 'Idempotency-Key: before']),
      409,
      'idempotency_key_reused',
      'header:idempotency-key',
    ],
    [...buying(STARTER, ['Content-Type: text/plain', KEYED[1]!]), 415, 'unsupported_media_type'],
    [...asking('?limit=0'), 400, 'invalid_request', 'query:limit'],
    [...asking('?limit=101'), 400, 'invalid_request', 'query:limit'],
    [...asking('?limit=1e1'), 400, 'invalid_request', 'query:limit'],
    [...asking('?limit=%EF%BC%95'), 400, 'invalid_request', 'query:limit'],
    [...asking('?limit=1&limit=2'), 400, 'invalid_request', 'query:limit'],
    [...asking('?limit[]=1'), 400, 'invalid_request', 'query:limit[]'],
    [...asking('?cursor=x'), 400, 'invalid_request', 'query:cursor'],
    [...asking(`?cursor=${'x'.repeat(201)}`), 400, 'invalid_request', 'query:cursor'],
    [...asking('?cursor=%00'), 400, 'invalid_encoding'],
    [...asking('?cursor=%FF'), 400, 'invalid_request'],
    [...asking('?community=other'), 400, 'invalid_request', 'query:community'],
    [...asking('/x'), 400, 'invalid_request', 'path:paymentId'],
    [...asking("/1'%20OR%20'1'='1"), 400, 'invalid_request', 'path:paymentId'],
    [...asking('/00000000-0000-7000-8000-00000000000'), 400, 'invalid_request', 'path:paymentId'],
    [...asking('/00000000-0000-7000-8000-00000000000G'), 400, 'invalid_request', 'path:paymentId'],
    [...asking('/00000000-0000-7000-8000-000000000000'), 404, 'not_found'],
    [...asking(`/${'0'.repeat(300)}`), 414, 'uri_too_long'],
  ])('%s', async (_what, line, headers, body, status, code, field) => {
    const fault = await refusal(post(line, [front.authorization, ...headers], body));
    expect(fault).toMatchObject({ status, code });
    if (field !== undefined) expect(fault.fields).toContain(field);
  });

  it.each([
    [`POST ${PAYMENTS}`, STARTER],
    [`GET ${PAYMENTS}`, ''],
    [`GET ${PAYMENTS}/00000000-0000-7000-8000-000000000000`, ''],
  ])('without a key: %s', async (line, body) => {
    const fault = await refusal(post(`${line} HTTP/1.1`, KEYED, body));
    expect(fault.status).toBe(401);
  });
});

describe('after all of that', () => {
  it('no row has changed, and what was signed is kept', async () => {
    expect(await books()).toEqual(before);
    expect(await deliveries()).toBe(KEPT_ATTACKS);
    expect(vendor.fake.calls).toEqual(['POST /v1/invoice']);
  });

  it('no answer was a failure of ours', () => {
    const failures = front.services.api
      .logs()
      .filter(({ level, status }) => level === 'error' || Number(status) >= 500);
    expect(failures).toEqual([]);
  });

  it('a genuine notice still credits the payment', async () => {
    const body = noticeText(target);
    const response = await fetch(front.apiUrl + WEBHOOK, {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        'x-forwarded-for': '203.0.113.1',
        'x-nowpayments-sig': signNotice(JSON.parse(body), vendor.ipnSecret),
      },
      body,
    });
    expect(await response.json()).toEqual({ outcome: 'advanced' });
    const payment = await (await call(front, `${PAYMENTS}/${target.paymentId}`)).json();
    expect(payment).toMatchObject({ status: 'finished', debt: '0' });
  });
});

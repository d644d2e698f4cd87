import { randomUUID } from 'node:crypto';
import { signNotice, startFakeNowPayments, type FakeNowPayments } from '@arrakis/testkit';
import { call, type Platform } from '../../e2e/support/platform.ts';

const API_KEY = 'NP-API-KEY-observed';
const IPN_SECRET = 'NP-IPN-SECRET-observed';
const WEBHOOK_PATH = '/api/crypto/webhook';

/** A payment vendor, and what freeside has to be told of it. Notices are posted by hand, below. */
export interface PaymentVendor {
  readonly vendor: FakeNowPayments;
  readonly env: Readonly<Record<string, string>>;
}

export async function startPaymentVendor(): Promise<PaymentVendor> {
  const vendor = await startFakeNowPayments({ apiKey: API_KEY, ipnSecret: IPN_SECRET });
  const env = {
    NOWPAYMENTS_API_KEY: API_KEY,
    NOWPAYMENTS_IPN_SECRET: IPN_SECRET,
    NOWPAYMENTS_BASE_URL: vendor.url,
    FREESIDE_PUBLIC_URL: 'http://127.0.0.1:9',
  };
  return { vendor, env };
}

/** Of each kind of post one: taken, in review, forged, not JSON, and signed for a payment of nobody. */
export async function varyPayments(platform: Platform): Promise<void> {
  const [first, second] = [await buy(platform), await buy(platform)];
  await expectStatus(200, notify(platform, noticeOf(5_000_000_001, first, 'finished', 80)));
  await expectStatus(200, notify(platform, noticeOf(5_000_000_001, first, 'refunded', 80)));
  await expectStatus(200, notify(platform, noticeOf(5_000_000_002, second, 'partially_paid', 20)));
  await expectStatus(404, notify(platform, noticeOf(5_000_000_003, randomUUID(), 'finished', 80)));
  await expectStatus(401, post(platform, JSON.stringify({}), '0'.repeat(128)));
  await expectStatus(400, post(platform, '{', '0'.repeat(128)));
}

async function buy(platform: Platform): Promise<string> {
  const headers = { 'idempotency-key': randomUUID() };
  const bought = await call(platform, '/api/v1/payments', { pack: 'standard' }, { headers });
  if (bought.status !== 201) throw new Error(`buying answered ${bought.status}`);
  return ((await bought.json()) as { id: string }).id;
}

function noticeOf(vendorPayment: number, orderId: string, status: string, paid: number): object {
  return {
    payment_id: vendorPayment,
    payment_status: status,
    price_amount: 10,
    price_currency: 'usd',
    pay_amount: 80,
    actually_paid: paid,
    pay_currency: 'trx',
    order_id: orderId,
  };
}

function notify(platform: Platform, notice: object): Promise<Response> {
  return post(platform, JSON.stringify(notice), signNotice(notice, IPN_SECRET));
}

function post(platform: Platform, body: string, signature: string): Promise<Response> {
  return fetch(platform.apiUrl + WEBHOOK_PATH, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'x-nowpayments-sig': signature },
    body,
  });
}

async function expectStatus(expected: number, answering: Promise<Response>): Promise<void> {
  const answer = await answering;
  const text = await answer.text();
  if (answer.status !== expected) throw new Error(`${expected} expected: ${answer.status} ${text}`);
}

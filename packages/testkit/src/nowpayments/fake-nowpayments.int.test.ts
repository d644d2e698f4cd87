import { createHmac } from 'node:crypto';
import { createServer, type IncomingHttpHeaders, type Server } from 'node:http';
import { mkdtemp, rm } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { startFakeNowPayments, type FakeNowPayments } from './fake-nowpayments.ts';

interface Received {
  readonly body: string;
  readonly headers: IncomingHttpHeaders;
}

let vendor: FakeNowPayments;
let shop: Server;
let received: Received[];
/** What the shop answers, one each, then 200. */
let answers: number[];

beforeEach(async () => {
  vendor = await startFakeNowPayments({
    apiKey: 'k',
    ipnSecret: 's',
    account: { email: 'e', password: 'p' },
  });
  received = [];
  answers = [];
  shop = createServer((request, response) => {
    let body = '';
    request.on('data', (part: Buffer) => (body += part.toString()));
    request.on('end', () => {
      received.push({ body, headers: request.headers });
      const status = answers.shift() ?? 200;
      // 0: never.
      if (status > 0) response.writeHead(status).end();
    });
  });
  await new Promise<void>((resolve) => shop.listen(0, '127.0.0.1', resolve));
});
afterEach(async () => {
  await vendor.close();
  shop.closeAllConnections();
  await new Promise((resolve) => shop.close(resolve));
});

const shopUrl = (): string =>
  `http://127.0.0.1:${String((shop.address() as AddressInfo).port)}/ipn`;

async function call(
  path: string,
  init: { method?: string; body?: string; headers?: Record<string, string> } = {},
): Promise<[number, Record<string, unknown>]> {
  const headers = { 'x-api-key': 'k', 'content-type': 'application/json', ...init.headers };
  const response = await fetch(`${vendor.url}${path}`, { ...init, headers });
  return [response.status, (await response.json()) as Record<string, unknown>];
}

const ORDER = { price_amount: 10, price_currency: 'usd', order_id: 'o-1' };
const invoice = (change: object = {}): Promise<[number, Record<string, unknown>]> =>
  call('/v1/invoice', {
    method: 'POST',
    body: JSON.stringify({ ...ORDER, ipn_callback_url: shopUrl(), ...change }),
  });

async function openPayment() {
  const [, { id }] = await invoice();
  return vendor.openPayment(String(id));
}

describe('the fake vendor', () => {
  it('makes invoices with the vendor’s types', async () => {
    const [status, body] = await invoice();
    expect(status).toBe(200);
    expect(body).toMatchObject({
      id: expect.stringMatching(/^\d{10}$/) as string,
      price_amount: '10',
      price_currency: 'USD',
      order_id: 'o-1',
      pay_currency: null,
    });
    expect(body.invoice_url).toBe(`${vendor.url}/payment/?iid=${String(body.id)}`);
  });

  it.each([
    [{ price_amount: undefined }, 'price_amount is required'],
    [{ price_amount: '10' }, 'must be a number'],
    [{ price_amount: 0 }, 'larger than 0'],
    [{ price_currency: undefined }, 'price_currency'],
    [{ price_currency: 'dollars' }, 'not supported'],
    [{ order_id: 7 }, 'order_id must be a string'],
    [{ ipn_callback_url: 'not a url' }, 'valid uri'],
    [{ amount: 10 }, '"amount" is not allowed'],
  ])('refuses an invoice with %j', async (change, why) => {
    const [status, body] = await invoice(change);
    expect([status, body.status, body.statusCode]).toEqual([400, false, 400]);
    expect(body.message).toContain(why);
  });

  it('serves only who has the key, and lists only for who signed in', async () => {
    const [status, body] = await call('/v1/payment/1', { headers: { 'x-api-key': 'x' } });
    expect([status, body.code]).toEqual([403, 'INVALID_API_KEY']);
    expect((await call('/v1/payment/?limit=10'))[0]).toBe(401);
    const body2 = JSON.stringify({ email: 'e', password: 'p' });
    const [, { token }] = await call('/v1/auth', { method: 'POST', body: body2 });
    const authorization = `Bearer ${String(token)}`;
    await openPayment();
    const [, page] = await call('/v1/payment/?limit=10', { headers: { authorization } });
    expect(page).toMatchObject({
      limit: 10,
      page: 0,
      pagesCount: 1,
      total: 1,
      data: [{ order_id: 'o-1' }],
    });
    expect((await call('/v1/payment/?limit=501', { headers: { authorization } }))[0]).toBe(400);
  });

  it('answers a payment’s status, and 404 for another', async () => {
    const payment = await openPayment();
    const [, body] = await call(`/v1/payment/${payment.paymentId}`);
    expect(body).toMatchObject({
      payment_id: Number(payment.paymentId),
      payment_status: 'waiting',
    });
    expect((await call('/v1/payment/1'))[0]).toBe(404);
  });

  it.each(['older', 'newer'] as const)(
    'signs the sorted body of the %s generation',
    async (generation) => {
      vendor.generation = generation;
      vendor.move(await openPayment(), 'confirming');
      await vendor.settled();
      const [notice] = received;
      const body = JSON.parse(notice!.body) as Record<string, unknown>;
      const sorted = (value: Record<string, unknown>): object =>
        Object.fromEntries(
          Object.entries(value)
            .sort(([a], [b]) => (a < b ? -1 : 1))
            .map(([name, one]) => [
              name,
              name === 'fee' ? sorted(one as Record<string, unknown>) : one,
            ]),
        );
      const expected = createHmac('sha512', 's')
        .update(JSON.stringify(sorted(body)))
        .digest('hex');
      expect(notice!.headers['x-nowpayments-sig']).toBe(expected);
      expect(Object.hasOwn(body, 'updated_at')).toBe(generation === 'older');
      expect(Object.hasOwn(body, 'fee')).toBe(generation === 'newer');
    },
  );

  it('repeats a notice until a 2xx, and gives up after the last', async () => {
    // Of each attempt; only the one that is never answered takes so long.
    vendor.plan = { retryMs: [1, 1, 1], timeoutMs: 1_000 };
    answers = [500, 0, 429, 200];
    vendor.move(await openPayment(), 'confirming');
    await vendor.settled();
    expect(vendor.attempts.map((attempt) => attempt.status)).toEqual([500, 0, 429, 200]);
    answers = [404, 404, 404, 404, 404];
    vendor.move(vendor.payments[0]!, 'confirmed');
    await vendor.settled();
    expect(received).toHaveLength(8);
  });

  it('sends copies, and in reverse where it is told to', async () => {
    vendor.plan = { copies: 2, reorder: 2 };
    const payment = await openPayment();
    vendor.move(payment, 'confirming');
    expect(vendor.attempts).toEqual([]);
    vendor.move(payment, 'confirmed');
    await vendor.settled();
    const statuses = received.map(
      ({ body }) => (JSON.parse(body) as { payment_status: string }).payment_status,
    );
    expect(statuses.sort()).toEqual(['confirmed', 'confirmed', 'confirming', 'confirming']);
  });

  it('fails as scripted and then serves again', async () => {
    vendor.fail({ kind: 'status', status: 429, retryAfterSeconds: 7 }, { kind: 'hang' });
    const busy = await fetch(`${vendor.url}/v1/payment/1`);
    expect([busy.status, busy.headers.get('retry-after')]).toEqual([429, '7']);
    const leaving = new AbortController();
    const hanging = fetch(`${vendor.url}/v1/payment/1`, { signal: leaving.signal });
    const outcome = expect(hanging).rejects.toThrow();
    // Who leaves before the fake has read the call leaves its fault to the next.
    await vi.waitFor(() => expect(vendor.calls).toHaveLength(2), { timeout: 10_000 });
    leaving.abort();
    await outcome;
    expect((await call('/v1/status'))[1]).toEqual({ message: 'OK' });
  });

  it('shows a checkout page that escapes what the shop wrote, and whose button pays', async () => {
    const [, { invoice_url: url }] = await invoice({
      order_description: '<script>alert(1)</script>',
    });
    const page = await (await fetch(String(url))).text();
    expect(page).not.toContain('<script>');
    expect(page).toContain('&lt;script&gt;');
    const paid = await fetch(String(url), {
      method: 'POST',
      body: new URLSearchParams({ action: 'pay' }),
    });
    expect(await paid.text()).toContain('<strong>finished</strong>');
    await vendor.settled();
    expect(received).toHaveLength(5);
    expect((await fetch(`${vendor.url}/payment/?iid=1`)).status).toBe(404);
  });

  it('offers what a customer could do next, and sends back to the page after it', async () => {
    const [, { invoice_url: url }] = await invoice();
    const press = async (action: string) => {
      const body = new URLSearchParams({ action });
      const answer = await fetch(String(url), { method: 'POST', body, redirect: 'manual' });
      expect(answer.status).toBe(303);
      expect(new URL(String(answer.headers.get('location')), String(url)).href).toBe(String(url));
      return offered();
    };
    const offered = async (): Promise<(string | undefined)[]> => {
      const page = await (await fetch(String(url))).text();
      return [...page.matchAll(/value="(\w+)"/g)].map(([, action]) => action);
    };
    expect(await offered()).toEqual(['pay', 'underpay', 'expire']);
    expect(await press('underpay')).toEqual(['pay']);
    expect(await press('gift')).toEqual(['pay']);
    expect(await press('pay')).toEqual(['refund', 'repeat']);
    await press('repeat');
    expect(vendor.payments.map(({ parentPaymentId }) => parentPaymentId)).toEqual([
      null,
      vendor.payments[0]?.paymentId,
    ]);
    expect(await press('refund')).toEqual([]);
  });
});

describe('the fake vendor with a file', () => {
  it('knows after a restart what it knew, and goes on with what was on its way', async () => {
    const dir = await mkdtemp(join(tmpdir(), 'vendor-'));
    const options = { apiKey: 'k', ipnSecret: 's', stateFile: join(dir, 'state.json') };
    try {
      await vendor.close();
      vendor = await startFakeNowPayments({ ...options, stepMs: 60_000 });
      const payment = await openPayment();
      vendor.act(payment, 'pay');
      await vi.waitFor(() => expect(received).toHaveLength(1), { timeout: 10_000 });
      await vendor.close();
      vendor = await startFakeNowPayments(options);
      await vendor.settled();
      expect(vendor.payments).toHaveLength(1);
      expect(vendor.payments[0]).toMatchObject({
        paymentId: payment.paymentId,
        status: 'finished',
        actuallyPaid: payment.payAmount,
      });
      expect(vendor.payments[0]?.createdAt).toEqual(payment.createdAt);
      expect(received.map(({ body }) => JSON.parse(body) as unknown)).toContainEqual(
        expect.objectContaining({ payment_status: 'finished' }),
      );
    } finally {
      await rm(dir, { recursive: true, force: true });
    }
  });
});

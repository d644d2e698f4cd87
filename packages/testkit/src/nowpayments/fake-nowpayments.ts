import { randomInt } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import {
  PAID_STEPS,
  checkoutPage,
  isCheckoutAction,
  isUnderway,
  unknownInvoicePage,
  type CheckoutAction,
} from './checkout-page.ts';
import { readInvoiceRequest, type VendorRefusal } from './invoice-request.ts';
import { NoticeSender, type DeliveryPlan, type NoticeAttempt } from './notice-sender.ts';
import { VendorBook } from './vendor-book.ts';
import { noticeOf, statusOf, type NoticeGeneration, type VendorPayment } from './vendor-payment.ts';

export interface FakeNowPaymentsOptions {
  readonly apiKey: string;
  readonly ipnSecret: string;
  /** Who may ask for the list of payments; without it nobody has to sign in. */
  readonly account?: { readonly email: string; readonly password: string };
  readonly host?: string;
  readonly port?: number;
  /** Origin of the checkout pages; where it listens when absent. */
  readonly publicUrl?: string;
  /** Keeps invoices and payments over a restart; only in memory when absent. */
  readonly stateFile?: string;
  /** Between the steps of a payment that was paid at the checkout page; 0, at once, by default. */
  readonly stepMs?: number;
}

/** What the API does instead of answering. `hang` lasts until the caller leaves or the fake closes. */
export type VendorFault =
  | { readonly kind: 'status'; readonly status: number; readonly retryAfterSeconds?: number }
  | { readonly kind: 'hang' }
  | { readonly kind: 'delay'; readonly ms: number };

export interface FakeNowPayments {
  /** Origin; the API is below `/v1`. */
  readonly url: string;
  readonly payments: readonly VendorPayment[];
  /** Every attempt to deliver a notice, in order. */
  readonly attempts: readonly NoticeAttempt[];
  /** Calls of the API so far, as `GET /v1/payment/5`. */
  readonly calls: readonly string[];
  generation: NoticeGeneration;
  /** How notices travel from now on. */
  plan: DeliveryPlan;
  /** Answers the next calls of the API, one each; then it serves again. */
  fail(...faults: readonly VendorFault[]): void;
  /** Makes the payment of an invoice that the checkout page would, without a notice. */
  openPayment(invoiceId: string): VendorPayment;
  /** Somebody pays once more into the address of a payment. */
  repeatDeposit(parent: VendorPayment): VendorPayment;
  /** Moves a payment and sends the notice; `silent` keeps it from being sent. */
  move(
    payment: VendorPayment,
    status: string,
    change?: { readonly actuallyPaid?: number; readonly silent?: boolean },
  ): void;
  /** What the button of the checkout page does. */
  act(payment: VendorPayment, action: CheckoutAction): void;
  /** Sends what a reordering plan holds back, and waits until every notice was taken or given up. */
  settled(): Promise<void>;
  close(): Promise<void>;
}

const refusal = (statusCode: number, code: string, message: string): VendorRefusal => ({
  statusCode,
  code,
  message,
});
const TOKEN = 'fake-token';
const MAX_LIST = 500;

/** A strict stand-in for NOWPayments; listens on 127.0.0.1 unless told otherwise. */
export async function startFakeNowPayments(
  options: FakeNowPaymentsOptions,
): Promise<FakeNowPayments> {
  const fake = new Vendor(options);
  await fake.listen();
  return fake;
}

class Vendor implements FakeNowPayments {
  readonly #options: FakeNowPaymentsOptions;
  readonly #sender: NoticeSender;
  readonly #book: VendorBook;
  /** Payments that take their steps, one after the other. */
  readonly #walks = new Set<Promise<void>>();
  readonly #faults: VendorFault[] = [];
  readonly #closing = new AbortController();
  readonly #server = createServer((request, response) => {
    this.#serve(request, response).catch(() => response.destroy());
  });
  readonly calls: string[] = [];
  generation: NoticeGeneration = 'newer';
  url = '';

  constructor(options: FakeNowPaymentsOptions) {
    this.#options = options;
    this.#sender = new NoticeSender(options.ipnSecret);
    this.#book = new VendorBook(options.stateFile);
  }

  get payments(): readonly VendorPayment[] {
    return this.#book.payments;
  }
  get attempts(): readonly NoticeAttempt[] {
    return this.#sender.attempts;
  }
  get plan(): DeliveryPlan {
    return this.#sender.plan;
  }
  set plan(plan: DeliveryPlan) {
    this.#sender.plan = plan;
  }

  async listen(): Promise<void> {
    const { host = '127.0.0.1', port = 0 } = this.#options;
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen(port, host, resolve);
    });
    const { port: actual } = this.#server.address() as AddressInfo;
    this.url = `http://${host}:${String(actual)}`;
    // Those that were on their way when it ended go on, and tell again how they stand.
    for (const payment of this.payments.filter(isUnderway)) {
      const isPaid = payment.actuallyPaid >= payment.payAmount;
      const from = PAID_STEPS.findIndex((step) => step === payment.status);
      this.#walk(payment, isPaid ? PAID_STEPS.slice(from) : ['confirming', 'partially_paid']);
    }
  }

  fail(...faults: readonly VendorFault[]): void {
    this.#faults.push(...faults);
  }

  openPayment(invoiceId: string): VendorPayment {
    const invoice = this.#book.invoices.get(invoiceId);
    if (invoice === undefined) throw new Error('no such invoice');
    return this.#add({
      invoiceId,
      parentPaymentId: null,
      orderId: invoice.orderId,
      orderDescription: invoice.orderDescription,
      priceAmount: invoice.priceAmount,
      priceCurrency: invoice.priceCurrency,
      payCurrency: 'trx',
      payAmount: invoice.priceAmount * 8,
      ipnCallbackUrl: invoice.ipnCallbackUrl,
    });
  }

  repeatDeposit(parent: VendorPayment): VendorPayment {
    return this.#add({ ...parent, parentPaymentId: parent.paymentId });
  }

  move(
    payment: VendorPayment,
    status: string,
    change: { readonly actuallyPaid?: number; readonly silent?: boolean } = {},
  ): void {
    payment.status = status;
    payment.actuallyPaid = change.actuallyPaid ?? payment.actuallyPaid;
    // Two moves within a millisecond are still one after the other.
    payment.updatedAt = new Date(Math.max(Date.now(), payment.updatedAt.getTime() + 1));
    this.#book.save();
    if (change.silent === true || payment.ipnCallbackUrl === null) return;
    this.#sender.send({
      url: payment.ipnCallbackUrl,
      paymentStatus: status,
      body: noticeOf(payment, this.generation),
    });
  }

  act(payment: VendorPayment, action: CheckoutAction): void {
    switch (action) {
      case 'pay':
        this.#walk(payment, PAID_STEPS, payment.payAmount);
        return;
      case 'underpay':
        this.#walk(payment, ['confirming', 'partially_paid'], payment.payAmount / 2);
        return;
      case 'expire':
        this.move(payment, 'expired');
        return;
      case 'refund':
        this.move(payment, 'refunded');
        return;
      case 'repeat':
        this.#walk(this.repeatDeposit(payment), PAID_STEPS, payment.payAmount);
        return;
    }
  }

  async settled(): Promise<void> {
    await Promise.all(this.#walks);
    this.#sender.flush();
    await this.#sender.settled();
  }

  async close(): Promise<void> {
    this.#closing.abort();
    await Promise.all(this.#walks);
    await this.#sender.close();
    const closed = new Promise<void>((resolve) => {
      this.#server.close(() => resolve());
    });
    this.#server.closeAllConnections();
    await closed;
  }

  #add(
    init: Omit<VendorPayment, 'paymentId' | 'createdAt' | 'updatedAt' | 'status' | 'actuallyPaid'>,
  ): VendorPayment {
    const now = new Date();
    const payment: VendorPayment = {
      ...init,
      paymentId: String(randomInt(4_000_000_000, 6_999_999_999)),
      createdAt: now,
      updatedAt: now,
      status: 'waiting',
      actuallyPaid: 0,
    };
    this.#book.payments.push(payment);
    this.#book.save();
    return payment;
  }

  /** Takes a payment through its steps: the first at once, the others after a while each. */
  #walk(payment: VendorPayment, steps: readonly string[], actuallyPaid?: number): void {
    const { stepMs = 0 } = this.#options;
    const change = actuallyPaid === undefined ? {} : { actuallyPaid };
    const [first, ...later] = steps;
    if (first !== undefined) this.move(payment, first, change);
    if (stepMs === 0) {
      for (const status of later) this.move(payment, status);
      return;
    }
    const walk = this.#stroll(payment, later, stepMs).catch(() => undefined);
    this.#walks.add(walk);
    void walk.then(() => this.#walks.delete(walk));
  }

  async #stroll(payment: VendorPayment, steps: readonly string[], stepMs: number): Promise<void> {
    for (const status of steps) {
      await pause(stepMs, undefined, { signal: this.#closing.signal });
      this.move(payment, status);
    }
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '/', this.url);
    const body = await readBody(request);
    if (url.pathname === '/payment/') {
      this.#checkout(request, url, body, response);
      return;
    }
    this.calls.push(`${request.method ?? ''} ${url.pathname}`);
    if (await this.#fault(response)) return;
    const answer = this.#answer(request, url, body);
    if ('statusCode' in answer) sendRefusal(response, answer);
    else sendJson(response, answer.status, answer.body);
  }

  /** True when the call is answered by a scripted fault. */
  async #fault(response: ServerResponse): Promise<boolean> {
    const fault = this.#faults.shift();
    if (fault === undefined) return false;
    if (fault.kind === 'delay') {
      await pause(fault.ms, undefined, { signal: this.#closing.signal });
      return false;
    }
    if (fault.kind === 'hang') return true;
    if (fault.retryAfterSeconds !== undefined) {
      response.setHeader('retry-after', String(fault.retryAfterSeconds));
    }
    sendRefusal(response, refusal(fault.status, 'INTERNAL', 'scripted'));
    return true;
  }

  #answer(
    request: IncomingMessage,
    url: URL,
    body: string,
  ): VendorRefusal | { readonly status: number; readonly body: unknown } {
    const route = `${request.method ?? ''} ${url.pathname}`;
    if (route === 'GET /v1/status') return { status: 200, body: { message: 'OK' } };
    if (route === 'POST /v1/auth') return this.#signIn(body);
    if (request.headers['x-api-key'] !== this.#options.apiKey) {
      return refusal(403, 'INVALID_API_KEY', 'Invalid api key');
    }
    if (route === 'POST /v1/invoice') return this.#createInvoice(request, body);
    if (route === 'GET /v1/payment/') return this.#list(request, url);
    const [, paymentId] = /^GET \/v1\/payment\/([^/]+)$/.exec(route) ?? [];
    if (paymentId === undefined) return refusal(404, 'NOT_FOUND', 'Endpoint not found');
    const payment = this.payments.find((one) => one.paymentId === paymentId);
    return payment === undefined
      ? refusal(404, 'NOT_FOUND', 'Payment not found')
      : { status: 200, body: statusOf(payment) };
  }

  #signIn(body: string): VendorRefusal | { readonly status: number; readonly body: unknown } {
    const { account } = this.#options;
    const expected = JSON.stringify({ email: account?.email, password: account?.password });
    return account !== undefined && body === expected
      ? { status: 200, body: { token: TOKEN } }
      : refusal(403, 'ACCESS_DENIED', 'Invalid credentials');
  }

  #createInvoice(
    request: IncomingMessage,
    body: string,
  ): VendorRefusal | { readonly status: number; readonly body: unknown } {
    if (request.headers['content-type']?.startsWith('application/json') !== true) {
      return refusal(400, 'INVALID_REQUEST_PARAMS', 'price_amount is required');
    }
    const asked = readInvoiceRequest(body);
    if ('statusCode' in asked) return asked;
    const id = String(randomInt(4_000_000_000, 6_999_999_999));
    const createdAt = new Date();
    this.#book.invoices.set(id, { ...asked, id, createdAt });
    this.#book.save();
    return {
      status: 200,
      body: {
        id,
        token_id: String(randomInt(4_000_000_000, 6_999_999_999)),
        order_id: asked.orderId,
        order_description: asked.orderDescription,
        price_amount: String(asked.priceAmount),
        price_currency: asked.priceCurrency.toUpperCase(),
        pay_currency: null,
        ipn_callback_url: asked.ipnCallbackUrl,
        invoice_url: `${this.#options.publicUrl ?? this.url}/payment/?iid=${id}`,
        success_url: asked.successUrl,
        cancel_url: asked.cancelUrl,
        created_at: createdAt.toISOString(),
        updated_at: createdAt.toISOString(),
        is_fixed_rate: false,
        is_fee_paid_by_user: false,
      },
    };
  }

  #list(
    request: IncomingMessage,
    url: URL,
  ): VendorRefusal | { readonly status: number; readonly body: unknown } {
    if (
      this.#options.account !== undefined &&
      request.headers.authorization !== `Bearer ${TOKEN}`
    ) {
      return refusal(
        401,
        'AUTH_REQUIRED',
        'Authorization header is empty (Bearer JWTtoken is required)',
      );
    }
    const number = (name: string, fallback: number): number =>
      Number(url.searchParams.get(name) ?? fallback);
    const [limit, page] = [number('limit', 10), number('page', 0)];
    if (!(limit >= 1 && limit <= MAX_LIST) || !(page >= 0)) {
      return refusal(400, 'INVALID_REQUEST_PARAMS', 'limit must be from 1 to 500');
    }
    const from = new Date(url.searchParams.get('dateFrom') ?? 0);
    const all = this.payments.filter((payment) => payment.createdAt >= from);
    if (url.searchParams.get('orderBy') === 'desc') all.reverse();
    const data = all.slice(page * limit, (page + 1) * limit).map(statusOf);
    const pagesCount = Math.ceil(all.length / limit);
    return { status: 200, body: { data, limit, page, pagesCount, total: all.length } };
  }

  #checkout(request: IncomingMessage, url: URL, body: string, response: ServerResponse): void {
    const html = { 'content-type': 'text/html; charset=utf-8' };
    const invoice = this.#book.invoices.get(url.searchParams.get('iid') ?? '');
    if (invoice === undefined) {
      response.writeHead(404, html).end(unknownInvoicePage());
      return;
    }
    const [existing, ...repeats] = this.payments.filter((one) => one.invoiceId === invoice.id);
    const payment = existing ?? this.openPayment(invoice.id);
    if (existing === undefined) this.move(payment, 'waiting');
    if (request.method !== 'POST') {
      response.writeHead(200, html).end(checkoutPage(payment, repeats, invoice.successUrl));
      return;
    }
    const action = new URLSearchParams(body).get('action') ?? '';
    // A second click finds a payment that is on its way already.
    if (isCheckoutAction(action) && !isUnderway(payment)) this.act(payment, action);
    // So that loading the page again doesn't press the button again.
    response.writeHead(303, { location: `${url.pathname}${url.search}` }).end();
  }
}

async function readBody(request: IncomingMessage): Promise<string> {
  const parts: Buffer[] = [];
  for await (const part of request as AsyncIterable<Buffer>) parts.push(part);
  return Buffer.concat(parts).toString('utf8');
}

function sendRefusal(response: ServerResponse, { statusCode, code, message }: VendorRefusal): void {
  sendJson(response, statusCode, { status: false, statusCode, code, message });
}

function sendJson(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json; charset=utf-8' });
  response.end(JSON.stringify(body));
}

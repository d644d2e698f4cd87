import type { PaymentEvents, VendorCall, VendorOutcome } from './events.ts';
import { JsonTextError, parseJsonText, type JsonText } from './json-text.domain.ts';

export interface NowPaymentsOptions {
  /** Origin of the vendor's API, without `/v1`. */
  readonly baseUrl: string;
  readonly apiKey: string;
  /** Signs in for the list of payments, where the vendor asks for it. */
  readonly account?: { readonly email: string; readonly password: string } | undefined;
  readonly timeoutMs: number;
  readonly events: PaymentEvents;
}

export interface InvoiceOrder {
  readonly orderId: string;
  readonly description: string;
  readonly priceMicro: bigint;
  /** Where the vendor sends its notices. */
  readonly callbackUrl: string;
}

export interface VendorInvoice {
  readonly invoiceId: string;
  readonly checkoutUrl: string;
}

/**
 * The vendor did not serve us. `busy`: it asks to come back later. `refused`: it takes the request for
 * wrong, which is a fault of ours or of the configuration. `unavailable`: it is away, late or broken.
 */
export class VendorError extends Error {
  override readonly name = 'VendorError';
  readonly outcome: Exclude<VendorOutcome, 'ok'>;
  /** What the vendor asked for, if it did. */
  readonly retryAfterSeconds: number | undefined;

  constructor(outcome: Exclude<VendorOutcome, 'ok'>, retryAfterSeconds?: number, cause?: unknown) {
    super(`NOWPayments: ${outcome}`, cause === undefined ? undefined : { cause });
    this.outcome = outcome;
    this.retryAfterSeconds = retryAfterSeconds;
  }
}

const MAX_ANSWER_CHARACTERS = 4_000_000;
const MAX_URL_CHARACTERS = 1_000;
const MICRO_DIGITS = 6;

/** NOWPayments over HTTPS. Single attempts: whoever calls decides when to come back. */
export class NowPaymentsClient {
  readonly #options: NowPaymentsOptions;

  constructor(options: NowPaymentsOptions) {
    this.#options = options;
  }

  /**
   * Makes the invoice on whose page the customer chooses a coin and pays.
   *
   * @throws VendorError
   */
  async createInvoice(order: InvoiceOrder): Promise<VendorInvoice> {
    const rest = JSON.stringify({
      price_currency: 'usd',
      order_id: order.orderId,
      order_description: order.description,
      ipn_callback_url: order.callbackUrl,
    });
    // The amount is written as text, so that no price passes through a float.
    const body = `{"price_amount":${dollars(order.priceMicro)},${rest.slice(1)}`;
    const answer = await this.#call('create_invoice', '/v1/invoice', { method: 'POST', body });
    const invoiceId = scalarOf(answer, 'id');
    const checkoutUrl = scalarOf(answer, 'invoice_url');
    if (invoiceId === undefined || !/^\d{1,20}$/.test(invoiceId) || !isWebUrl(checkoutUrl)) {
      this.#options.events.vendorCalled('create_invoice', 'unavailable', 200);
      throw new VendorError('unavailable');
    }
    return { invoiceId, checkoutUrl };
  }

  /** A payment as it stands. Undefined when the vendor doesn't know it. @throws VendorError */
  async getPayment(vendorPaymentId: string): Promise<JsonText | undefined> {
    return this.#call('get_payment', `/v1/payment/${encodeURIComponent(vendorPaymentId)}`, {
      method: 'GET',
    });
  }

  /**
   * One page of the account's payments since a day, newest first; empty after the last.
   *
   * @throws VendorError
   */
  async listPayments(page: {
    readonly since: Date;
    readonly page: number;
    readonly limit: number;
  }): Promise<readonly JsonText[]> {
    const { account } = this.#options;
    const query = new URLSearchParams({
      limit: String(page.limit),
      page: String(page.page),
      sortBy: 'created_at',
      orderBy: 'desc',
      dateFrom: page.since.toISOString().slice(0, 10),
    });
    const headers =
      account === undefined ? {} : { authorization: `Bearer ${await this.#signIn(account)}` };
    const answer = await this.#call('list_payments', `/v1/payment/?${query.toString()}`, {
      method: 'GET',
      headers,
    });
    const data = answer?.kind === 'object' ? new Map(answer.members).get('data') : undefined;
    return data?.kind === 'array' ? data.items : [];
  }

  async #signIn(account: { readonly email: string; readonly password: string }): Promise<string> {
    const { email, password } = account;
    const body = JSON.stringify({ email, password });
    const answer = await this.#call('list_payments', '/v1/auth', { method: 'POST', body });
    const token = scalarOf(answer, 'token');
    if (token === undefined) throw new VendorError('refused');
    return token;
  }

  /** Undefined for 404. */
  async #call(
    call: VendorCall,
    path: string,
    init: { method: string; body?: string; headers?: Record<string, string> },
  ): Promise<JsonText | undefined> {
    const { baseUrl, apiKey, timeoutMs, events } = this.#options;
    let status: number | undefined;
    try {
      const response = await fetch(new URL(path, baseUrl), {
        ...init,
        headers: {
          ...init.headers,
          'x-api-key': apiKey,
          ...(init.body === undefined ? {} : { 'content-type': 'application/json' }),
        },
        redirect: 'error',
        signal: AbortSignal.timeout(timeoutMs),
      });
      status = response.status;
      const text = await response.text();
      const answer = readAnswer(response, text);
      events.vendorCalled(call, 'ok', status);
      return answer;
    } catch (cause) {
      const error =
        cause instanceof VendorError ? cause : new VendorError('unavailable', undefined, cause);
      events.vendorCalled(call, error.outcome, status);
      throw error;
    }
  }
}

function readAnswer(response: Response, text: string): JsonText | undefined {
  const { status } = response;
  if (status === 404) return undefined;
  if (status === 429) throw new VendorError('busy', retryAfterOf(response));
  if (status >= 500) throw new VendorError('unavailable');
  if (!response.ok) throw new VendorError('refused');
  if (text.length > MAX_ANSWER_CHARACTERS) throw new VendorError('unavailable');
  try {
    return parseJsonText(text, { maxValues: MAX_ANSWER_CHARACTERS });
  } catch (error) {
    if (error instanceof JsonTextError) throw new VendorError('unavailable', undefined, error);
    throw error;
  }
}

function retryAfterOf(response: Response): number | undefined {
  const text = response.headers.get('retry-after') ?? '';
  return /^\d{1,5}$/.test(text) ? Number(text) : undefined;
}

function scalarOf(body: JsonText | undefined, name: string): string | undefined {
  const value = body?.kind === 'object' ? new Map(body.members).get(name) : undefined;
  if (value?.kind === 'string') return value.value;
  return value?.kind === 'number' ? value.text : undefined;
}

function isWebUrl(text: string | undefined): text is string {
  return (
    text !== undefined &&
    text.length <= MAX_URL_CHARACTERS &&
    URL.canParse(text) &&
    ['http:', 'https:'].includes(new URL(text).protocol)
  );
}

/** A decimal number of dollars, exact. */
function dollars(micro: bigint): string {
  const digits = micro.toString().padStart(MICRO_DIGITS + 1, '0');
  const fraction = digits.slice(-MICRO_DIGITS).replace(/0+$/, '');
  return digits.slice(0, -MICRO_DIGITS) + (fraction === '' ? '' : `.${fraction}`);
}

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

export type VendorFailure = Exclude<VendorOutcome, 'ok' | 'unreadable'>;

/**
 * The vendor did not serve us. `busy`: it asks to come back later. `refused`: it takes the request for
 * wrong, which is a fault of ours or of the configuration. `unavailable`: it is away, late or broken.
 */
export class VendorError extends Error {
  override readonly name = 'VendorError';
  readonly outcome: VendorFailure;
  /** What the vendor asked for, if it did. */
  readonly retryAfterSeconds: number | undefined;

  constructor(outcome: VendorFailure, retryAfterSeconds?: number, cause?: unknown) {
    super(`NOWPayments: ${outcome}`, cause === undefined ? undefined : { cause });
    this.outcome = outcome;
    this.retryAfterSeconds = retryAfterSeconds;
  }
}

/** A hundred payments are some hundred kilobytes. */
const MAX_ANSWER_BYTES = 4_000_000;
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
    return this.#call('create_invoice', '/v1/invoice', { method: 'POST', body }, toInvoice);
  }

  /** A payment as it stands. Undefined when the vendor doesn't know it. @throws VendorError */
  async getPayment(vendorPaymentId: string): Promise<JsonText | undefined> {
    const path = `/v1/payment/${encodeURIComponent(vendorPaymentId)}`;
    return this.#call('get_payment', path, { method: 'GET' }, (answer) => answer);
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
    const path = `/v1/payment/?${query.toString()}`;
    return this.#call('list_payments', path, { method: 'GET', headers }, toItems);
  }

  async #signIn(account: { readonly email: string; readonly password: string }): Promise<string> {
    const { email, password } = account;
    const body = JSON.stringify({ email, password });
    return this.#call('list_payments', '/v1/auth', { method: 'POST', body }, toToken);
  }

  /**
   * Every call is counted once, by what came of it in the end.
   *
   * @param read of the answer, undefined for 404; throws VendorError for one that is no use
   */
  async #call<T>(
    call: VendorCall,
    path: string,
    init: { method: string; body?: string; headers?: Record<string, string> },
    read: (answer: JsonText | undefined) => T,
  ): Promise<T> {
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
      const value = read(await readAnswer(response));
      events.vendorCalled(call, 'ok', status);
      return value;
    } catch (cause) {
      const error =
        cause instanceof VendorError ? cause : new VendorError('unavailable', undefined, cause);
      events.vendorCalled(call, error.outcome, status);
      throw error;
    }
  }
}

async function readAnswer(response: Response): Promise<JsonText | undefined> {
  if (!response.ok) {
    // What it says beside its status is not read, however long it is.
    await response.body?.cancel();
    if (response.status === 404) return undefined;
    throw toError(response);
  }
  const text = await readText(response);
  try {
    return parseJsonText(text, { maxValues: MAX_ANSWER_BYTES });
  } catch (error) {
    if (error instanceof JsonTextError) throw new VendorError('unavailable', undefined, error);
    throw error;
  }
}

function toError(response: Response): VendorError {
  const { status } = response;
  if (status === 429) return new VendorError('busy', retryAfterOf(response));
  return new VendorError(status >= 500 ? 'unavailable' : 'refused');
}

/** Never more than the bound in memory, however much is sent. */
async function readText(response: Response): Promise<string> {
  if (response.body === null) return '';
  const parts: Uint8Array[] = [];
  let bytes = 0;
  for await (const part of response.body as ReadableStream<Uint8Array>) {
    bytes += part.length;
    if (bytes > MAX_ANSWER_BYTES) throw new VendorError('unavailable');
    parts.push(part);
  }
  return new TextDecoder().decode(Buffer.concat(parts));
}

function retryAfterOf(response: Response): number | undefined {
  const text = response.headers.get('retry-after') ?? '';
  return /^\d{1,5}$/.test(text) ? Number(text) : undefined;
}

function toInvoice(answer: JsonText | undefined): VendorInvoice {
  const invoiceId = scalarOf(answer, 'id');
  const checkoutUrl = scalarOf(answer, 'invoice_url');
  if (invoiceId === undefined || !/^\d{1,20}$/.test(invoiceId) || !isWebUrl(checkoutUrl)) {
    throw new VendorError('unavailable');
  }
  return { invoiceId, checkoutUrl };
}

function toItems(answer: JsonText | undefined): readonly JsonText[] {
  const data = answer?.kind === 'object' ? new Map(answer.members).get('data') : undefined;
  return data?.kind === 'array' ? data.items : [];
}

function toToken(answer: JsonText | undefined): string {
  const token = scalarOf(answer, 'token');
  if (token === undefined) throw new VendorError('refused');
  return token;
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

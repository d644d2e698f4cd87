import { startFakeNowPayments, type FakeNowPayments, type VendorPayment } from '@arrakis/testkit';
import { Harness, type TestKey } from '../../inference/test-support/harness.ts';

export const API_KEY = 'NP-API-KEY-planted-71c2';
export const IPN_SECRET = 'NP-IPN-SECRET-planted-9f3b';

export interface PaymentView {
  readonly id: string;
  readonly status: string;
  readonly checkoutUrl: string;
  readonly credits: string;
  readonly inReview: boolean;
  readonly debt: string;
  readonly creditedAt: string | null;
}

/** freeside's API and the fake vendor, each knowing the other. */
export class Shop {
  readonly harness: Harness;
  readonly vendor: FakeNowPayments;
  #keys = 0;

  private constructor(harness: Harness, vendor: FakeNowPayments) {
    this.harness = harness;
    this.vendor = vendor;
  }

  static async open(options: { readonly trustedProxies?: string[] } = {}): Promise<Shop> {
    const vendor = await startFakeNowPayments({ apiKey: API_KEY, ipnSecret: IPN_SECRET });
    const { url } = vendor;
    const harness = await Harness.start({
      ...options,
      vendor: { url, apiKey: API_KEY, ipnSecret: IPN_SECRET },
    });
    return new Shop(harness, vendor);
  }

  async close(): Promise<void> {
    await this.vendor.close();
    await this.harness.stop();
  }

  post(key: TestKey, body: unknown, idempotencyKey?: string): Promise<Response> {
    this.#keys += 1;
    return this.harness.post('/api/v1/payments', key, body, {
      headers: {
        authorization: `Bearer ${key.cleartext}`,
        'content-type': 'application/json',
        'idempotency-key': idempotencyKey ?? `key-${this.#keys}`,
      },
    });
  }

  get(key: TestKey, path: string): Promise<Response> {
    return fetch(`${this.harness.url}${path}`, {
      headers: { authorization: `Bearer ${key.cleartext}` },
    });
  }

  async buy(key: TestKey, pack = 'standard'): Promise<PaymentView> {
    const response = await this.post(key, { pack });
    if (response.status !== 201) throw new Error(`buying answered ${response.status}`);
    return (await response.json()) as PaymentView;
  }

  async payment(key: TestKey, id: string): Promise<PaymentView> {
    return (await (await this.get(key, `/api/v1/payments/${id}`)).json()) as PaymentView;
  }

  async balance(key: TestKey): Promise<Record<string, string>> {
    return (await (await this.get(key, '/api/v1/balance')).json()) as Record<string, string>;
  }

  /** The vendor's payment behind an invoice, as the checkout page makes it. */
  checkout(payment: PaymentView): VendorPayment {
    const invoiceId = new URL(payment.checkoutUrl).searchParams.get('iid') ?? '';
    return this.vendor.openPayment(invoiceId);
  }

  /** A notice as bytes, signed unless told otherwise. */
  notify(body: string | Uint8Array, headers: Record<string, string>): Promise<Response> {
    return fetch(`${this.harness.url}/api/crypto/webhook`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...headers },
      body: typeof body === 'string' ? body : Buffer.from(body),
    });
  }

  async drift(): Promise<unknown[]> {
    const { rows } = await this.harness.db.query<{ equation: string }>(
      'SELECT equation, drift_micro FROM freeside.conservation_full WHERE drift_micro <> 0',
    );
    return rows;
  }
}

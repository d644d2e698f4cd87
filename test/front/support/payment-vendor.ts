import { startFakeNowPayments, type FakeNowPayments } from '@arrakis/testkit';
import type { startPlatform } from '../../e2e/support/platform.ts';

export interface PaymentVendor {
  readonly fake: FakeNowPayments;
  readonly ipnSecret: string;
  /** For `startPlatform`: everything that sells and hears of payments. */
  readonly env: NonNullable<Parameters<typeof startPlatform>[0]>;
}

/** The vendor that credits are bought from; its notices are sent by the test itself. */
export async function startPaymentVendor(): Promise<PaymentVendor> {
  const secrets = { apiKey: 'the-vendor-key', ipnSecret: 'the-ipn-secret' };
  const fake = await startFakeNowPayments(secrets);
  const vendor = {
    NOWPAYMENTS_BASE_URL: fake.url,
    NOWPAYMENTS_API_KEY: secrets.apiKey,
    NOWPAYMENTS_IPN_SECRET: secrets.ipnSecret,
    FREESIDE_PUBLIC_URL: 'http://127.0.0.1:9',
  };
  return { fake, ipnSecret: secrets.ipnSecret, env: { api: vendor, worker: vendor } };
}

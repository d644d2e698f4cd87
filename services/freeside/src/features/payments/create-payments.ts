import type { Queryable } from '@arrakis/postgres';
import type { Logger, Secret } from '@arrakis/service-kit';
import type { Registry } from 'prom-client';
import { createPaymentEvents, type PaymentEvents } from './events.ts';
import { PaymentIntake } from './intake.service.ts';
import { IpnVerifier } from './ipn-signature.ts';
import { NowPaymentsClient } from './nowpayments.client.ts';
import { PaymentService, type PaymentFlags } from './service.ts';
import { WebhookService } from './webhook.service.ts';

/** Where the vendor is and where it finds us; both absent where nothing is sold. */
export interface NowPaymentsConfig {
  readonly baseUrl: string;
  readonly publicUrl: string | undefined;
}

export interface NowPaymentsSecrets {
  readonly apiKey: Secret | undefined;
  readonly ipnSecret: Secret | undefined;
  readonly email: Secret | undefined;
  readonly password: Secret | undefined;
}

/** What the public API needs of payments. */
export interface Payments {
  readonly service: PaymentService;
  readonly webhook: WebhookService;
}

const VENDOR_TIMEOUT_MS = 10_000;

export function createPayments(options: {
  readonly db: Queryable;
  readonly registry: Registry;
  readonly logger: Logger;
  readonly flags: PaymentFlags;
  readonly config: NowPaymentsConfig;
  readonly secrets: NowPaymentsSecrets;
}): Payments {
  const { config, db, flags, secrets } = options;
  const events = createPaymentEvents(options.registry, options.logger);
  return {
    service: new PaymentService({
      db,
      flags,
      events,
      vendor: createVendor(config, secrets, events),
      callbackUrl: new URL('/api/crypto/webhook', config.publicUrl ?? 'http://localhost').href,
    }),
    webhook: new WebhookService({
      intake: new PaymentIntake({ db, events }),
      verifier:
        secrets.ipnSecret === undefined ? undefined : new IpnVerifier(secrets.ipnSecret.reveal()),
      events,
    }),
  };
}

/** Undefined without a key, or without a place where the vendor's notices could arrive. */
export function createVendor(
  config: NowPaymentsConfig,
  secrets: NowPaymentsSecrets,
  events: PaymentEvents,
): NowPaymentsClient | undefined {
  const { apiKey, email, password } = secrets;
  if (apiKey === undefined || config.publicUrl === undefined) return undefined;
  const account =
    email === undefined || password === undefined
      ? undefined
      : { email: email.reveal(), password: password.reveal() };
  return new NowPaymentsClient({
    baseUrl: config.baseUrl,
    apiKey: apiKey.reveal(),
    account,
    timeoutMs: VENDOR_TIMEOUT_MS,
    events,
  });
}

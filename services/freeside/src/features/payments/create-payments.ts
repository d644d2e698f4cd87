import { withAdvisoryLock, type Queryable } from '@arrakis/postgres';
import type { Logger, Secret } from '@arrakis/service-kit';
import type { Pool } from 'pg';
import type { Registry } from 'prom-client';
import { createPaymentEvents, type PaymentEvents } from './events.ts';
import { PaymentIntake } from './intake.service.ts';
import { IpnVerifier } from './ipn-signature.ts';
import { NowPaymentsClient } from './nowpayments.client.ts';
import { PaymentReconciliation } from './reconcile.service.ts';
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

/** What the worker does for payments; `pool` holds the lock that keeps replicas from asking together. */
export function createReconciliation(options: {
  readonly pool: Pool;
  readonly registry: Registry;
  readonly logger: Logger;
  readonly config: NowPaymentsConfig;
  readonly secrets: NowPaymentsSecrets;
}): PaymentReconciliation {
  const { config, pool, secrets } = options;
  const events = createPaymentEvents(options.registry, options.logger);
  return new PaymentReconciliation({
    db: pool,
    intake: new PaymentIntake({ db: pool, events }),
    events,
    vendor: createVendor(config, secrets, events),
    sweeps: secrets.email !== undefined && secrets.password !== undefined,
    exclusively: async (work) => (await withAdvisoryLock(pool, 'reconcile_payments', work)).ran,
  });
}

/** Undefined without a key, or without a place where the vendor's notices could arrive. */
function createVendor(
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

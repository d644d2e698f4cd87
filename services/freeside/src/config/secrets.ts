import type { Secret } from '@arrakis/service-kit';
import type { FreesideEnv } from './env.ts';

/** What must never be printed; each value redacts itself. */
export interface FreesideSecrets {
  readonly databaseUrl: Secret;
  readonly natsUrl: Secret | undefined;
  readonly apiKeyPepper: Secret;
  readonly payments: {
    readonly apiKey: Secret | undefined;
    readonly ipnSecret: Secret | undefined;
    readonly email: Secret | undefined;
    readonly password: Secret | undefined;
  };
}

export function toSecrets(env: FreesideEnv): FreesideSecrets {
  return Object.freeze({
    databaseUrl: env.DATABASE_URL,
    natsUrl: env.NATS_URL,
    apiKeyPepper: env.API_KEY_PEPPER,
    payments: Object.freeze({
      apiKey: env.NOWPAYMENTS_API_KEY,
      ipnSecret: env.NOWPAYMENTS_IPN_SECRET,
      email: env.NOWPAYMENTS_EMAIL,
      password: env.NOWPAYMENTS_PASSWORD,
    }),
  });
}

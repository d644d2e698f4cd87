import type { Secret } from '@arrakis/service-kit';
import type { FreesideEnv } from './env.ts';

/** What must never be printed; each value redacts itself. */
export interface FreesideSecrets {
  readonly databaseUrl: Secret;
  readonly natsUrl: Secret | undefined;
  readonly apiKeyPepper: Secret;
}

export function toSecrets(env: FreesideEnv): FreesideSecrets {
  return Object.freeze({
    databaseUrl: env.DATABASE_URL,
    natsUrl: env.NATS_URL,
    apiKeyPepper: env.API_KEY_PEPPER,
  });
}

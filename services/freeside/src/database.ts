import { createPool } from '@arrakis/postgres';
import { observeDatabasePool, type Logger } from '@arrakis/service-kit';
import type { Pool } from 'pg';
import type { Registry } from 'prom-client';
import type { FreesideConfig } from './config/config.ts';
import type { FreesideSecrets } from './config/secrets.ts';

/** The role's statements end after 15 s; a pooler may keep one waiting for a moment before. */
const ANSWER_TIMEOUT_MS = 20_000;

/** The pool of one role, with its metrics; connects at the first query. */
export function openDatabase(
  applicationName: string,
  config: FreesideConfig,
  secrets: FreesideSecrets,
  to: { readonly registry: Registry; readonly logger: Logger },
): Pool {
  const db = createPool({
    url: secrets.databaseUrl.reveal(),
    max: config.databasePoolMax,
    applicationName,
    answerTimeoutMs: ANSWER_TIMEOUT_MS,
    // What comes twice changes the books once: settlements are idempotent, a hold that stands is read
    // instead of taken again, a payment is decided upon by its version. At most a notice is kept twice.
    repeatsLost: true,
    onError: (error) => to.logger.warn({ err: error }, 'database connection lost'),
  });
  observeDatabasePool(to.registry, db, config.databasePoolMax);
  return db;
}

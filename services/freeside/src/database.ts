import { createPool } from '@arrakis/postgres';
import { observeDatabasePool, type Logger } from '@arrakis/service-kit';
import type { Pool } from 'pg';
import type { Registry } from 'prom-client';
import type { FreesideConfig } from './config/config.ts';
import type { FreesideSecrets } from './config/secrets.ts';

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
    // A ledger batch that comes twice changes nothing: settlements are idempotent, and a hold that was
    // taken already is refused by its key.
    repeatsLost: true,
    onError: (error) => to.logger.warn({ err: error }, 'database connection lost'),
  });
  observeDatabasePool(to.registry, db, config.databasePoolMax);
  return db;
}

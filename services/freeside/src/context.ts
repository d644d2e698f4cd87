import { createRegistry, type Lifecycle, type Logger } from '@arrakis/service-kit';
import { S2STokenService } from '@arrakis/signing-keys';
import type { FreesideContext } from './app.ts';
import type { FreesideConfig } from './config/config.ts';
import type { FreesideSecrets } from './config/secrets.ts';
import { openDatabase } from './database.ts';
import { AgentService } from './features/agents/service.ts';
import { createApiKeyEvents, observeCacheSize } from './features/api-keys/events.ts';
import { parsePeppers } from './features/api-keys/pepper.domain.ts';
import { ApiKeyService } from './features/api-keys/service.ts';
import { createInference } from './features/inference/create-inference.ts';
import { BillingService } from './features/ledger/service.ts';
import { createPayments, type Payments } from './features/payments/create-payments.ts';
import { createReservationEvents } from './features/reservations/events.ts';
import { observeQueueDepth } from './features/reservations/metrics.ts';
import { ReservationService } from './features/reservations/service.ts';
import { traceReservations } from './features/reservations/traced-reservations.ts';
import { createS2SEvents } from './features/s2s/events.ts';
import { FileSigningKeySource } from './features/s2s/file-signing-key-source.ts';
import { JwksService } from './features/s2s/jwks.service.ts';
import { startFlags } from './flags.ts';

export interface ApiContext {
  readonly http: FreesideContext;
  /** Rejects when what every request needs can't be reached. */
  readonly checks: Readonly<Record<string, () => Promise<void>>>;
  /** What operators may ask on the admin port. */
  readonly adminRoutes: Readonly<Record<string, () => unknown>>;
  /** Resolves when every settlement under way has reached the database. */
  drain(): Promise<void>;
  close(): Promise<void>;
}

/**
 * Everything the role `api` consists of, wired.
 *
 * @throws PepperError, KeyStoreError when the secrets at hand can't be used.
 */
export async function createApiContext(
  config: FreesideConfig,
  secrets: FreesideSecrets,
  logger: Logger,
  lifecycle: Lifecycle,
): Promise<ApiContext> {
  const peppers = parsePeppers(secrets.apiKeyPepper.reveal());
  const registry = createRegistry('freeside-api');
  const s2sEvents = createS2SEvents(registry, logger);
  const keys = await FileSigningKeySource.open({ dir: config.keyStoreDir, events: s2sEvents });
  const db = openDatabase('freeside-api', config, secrets, { registry, logger });

  const apiKeys = new ApiKeyService({ db, peppers, events: createApiKeyEvents(registry, logger) });
  observeCacheSize(registry, apiKeys.cacheSize);
  const agents = new AgentService({ db });
  const reservations = new ReservationService({
    db,
    events: createReservationEvents(registry, logger),
  });
  observeQueueDepth(registry, () => reservations.waiting);
  const inference = createInference({
    logger,
    registry,
    reservations: traceReservations(reservations),
    agents,
    tokens: new S2STokenService({ keys }),
    finn: config.finn,
  });

  const flags = await startFlags('freeside-api', config, secrets, { registry, logger });

  return {
    http: {
      logger,
      registry,
      isDraining: lifecycle.isDraining,
      trustedProxies: config.http.trustedProxies,
      apiKeys,
      agents,
      inference: inference.service,
      jwks: new JwksService({ db, events: s2sEvents, activeKid: () => keys.current().kid }),
      billing: new BillingService(db),
      payments: openPayments(config, secrets, { db, registry, logger, flags }),
    },
    checks: {
      postgres: async () => {
        await db.query('SELECT 1');
      },
    },
    adminRoutes: {
      '/flags': () => flags.snapshot(),
      // A rotation is done when every replica says the new key here.
      '/signing-key': () => ({
        issuer: 'loa-freeside',
        activeKid: keys.current().kid,
        since: keys.since().toISOString(),
      }),
    },
    async drain() {
      // What is put off is put off by what fails on its way: so retries come between.
      await inference.service.settled();
      await reservations.drain();
      await inference.service.drain();
      await reservations.drain();
    },
    async close() {
      await inference.close();
      await apiKeys.close();
      await flags.close();
      await keys.close();
      await db.end();
    },
  };
}

function openPayments(
  { payments: config }: FreesideConfig,
  { payments: secrets }: FreesideSecrets,
  parts: Pick<Parameters<typeof createPayments>[0], 'db' | 'registry' | 'logger' | 'flags'>,
): Payments {
  return createPayments({ ...parts, config, secrets });
}

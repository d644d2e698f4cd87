import { natsOptions } from '@arrakis/nats';
import type { Queryable } from '@arrakis/postgres';
import {
  createRegistry,
  startAdminServer,
  type Lifecycle,
  type Logger,
  type RunningService,
} from '@arrakis/service-kit';
import { jetstream, jetstreamManager } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/transport-node';
import type { FreesideConfig } from './config/config.ts';
import { ConfigError } from './config/config.ts';
import type { FreesideSecrets } from './config/secrets.ts';
import { openDatabase } from './database.ts';
import { auditJobs } from './features/audit/audit.job.ts';
import { createAudit } from './features/audit/create-audit.ts';
import { createLedgerEvents } from './features/ledger/events.ts';
import { ledgerJobs } from './features/ledger/ledger.job.ts';
import { LedgerService } from './features/ledger/service.ts';
import { createReconciliation } from './features/payments/create-payments.ts';
import { paymentJobs } from './features/payments/payments.job.ts';
import { createReservationEvents } from './features/reservations/events.ts';
import {
  openReservationsJob,
  orphanJob,
  reconciliationJob,
} from './features/reservations/reservation.job.ts';
import { ReservationService } from './features/reservations/service.ts';
import { readUsageBacklog } from './features/reservations/usage-backlog.client.ts';
import { usageBacklogJob } from './features/reservations/usage-backlog.job.ts';
import { UsageConsumer } from './features/reservations/usage.consumer.ts';
import { startJobs, type PeriodicJob } from './features/scheduling/periodic-job.ts';
import { startFlags } from './flags.ts';
import { connectNats } from './nats.ts';

/**
 * Most events report what the api is settling at this very moment: a little later they find it done,
 * need no lock, and there are more of them to a statement.
 */
const EVENT_PATIENCE_MS = 100;

/** The role `worker`: settles from usage events and runs the scheduled jobs; safe to replicate. */
export async function startWorker(
  config: FreesideConfig,
  secrets: FreesideSecrets,
  logger: Logger,
  lifecycle: Lifecycle,
): Promise<RunningService> {
  if (secrets.natsUrl === undefined) throw new ConfigError('the worker needs NATS_URL');
  const natsSettings = natsOptions(secrets.natsUrl.reveal(), 'freeside-worker');
  const registry = createRegistry('freeside-worker');
  const flags = await startFlags('freeside-worker', config, secrets, { registry, logger });
  const db = openDatabase('freeside-worker', config, secrets, { registry, logger });
  const audit = await createAudit(config.audit, { db, registry, logger });
  // Not awaited: the jobs keep the promises of the books without NATS too.
  const connecting = connectNats(natsSettings, logger);
  let nats: NatsConnection | undefined;

  const events = createReservationEvents(registry, logger);
  const reservations = new ReservationService({ db, events, patienceMs: EVENT_PATIENCE_MS });
  const ledger = new LedgerService(db, createLedgerEvents(registry, logger));
  const consumer = new UsageConsumer({
    connect: async () => {
      nats = await connecting;
      return {
        client: jetstream(nats),
        manager: await jetstreamManager(nats, { checkAPI: false }),
      };
    },
    settle: (settlement) => reservations.settleNow(settlement),
    events,
    logger,
    streamReplicas: config.natsStreamReplicas,
  });
  void consumer.run();
  const jobs = startJobs(
    [
      orphanJob(reservations),
      reconciliationJob(reservations),
      openReservationsJob(reservations),
      usageBacklogJob({
        registry,
        read: async () =>
          nats && readUsageBacklog(await jetstreamManager(nats, { checkAPI: false })),
      }),
      ...ledgerJobs(ledger),
      ...openPaymentJobs(config, secrets, { pool: db, registry, logger }),
      ...auditJobs(audit),
    ],
    { registry, logger },
  );
  const admin = await startAdminServer({
    host: config.admin.host,
    port: config.admin.port,
    registry,
    checks: checksOf(db, () => nats),
    routes: { '/flags': () => flags.snapshot() },
    isDraining: lifecycle.isDraining,
    logger,
  });
  logger.info({ adminPort: admin.port }, 'worker started');

  return {
    async drain() {
      await Promise.all([consumer.close(), jobs.close()]);
      await reservations.drain();
    },
    async close() {
      await admin.close();
      await flags.close();
      await nats?.close();
      await db.end();
    },
  };
}

function openPaymentJobs(
  { payments: config }: FreesideConfig,
  { payments: secrets }: FreesideSecrets,
  parts: Pick<Parameters<typeof createReconciliation>[0], 'pool' | 'registry' | 'logger'>,
): readonly PeriodicJob[] {
  return paymentJobs(createReconciliation({ ...parts, config, secrets }));
}

function checksOf(
  db: Queryable,
  nats: () => NatsConnection | undefined,
): Record<string, () => Promise<void>> {
  return {
    postgres: async () => {
      await db.query('SELECT 1');
    },
    nats: async () => {
      const connection = nats();
      if (connection === undefined) throw new Error('not connected yet');
      await connection.rtt();
    },
  };
}

import { NOTHING_TOLD, createFlagMetrics } from '@arrakis/flags';
import {
  createHttpMetrics,
  createLogger,
  createRegistry,
  observeDatabasePool,
} from '@arrakis/service-kit';
import { createControllerMetrics } from '../../services/controller/src/metrics.ts';
import { createEvents, observeKeyAge } from '../../services/finn/src/events.ts';
import { createMeteringMetrics } from '../../services/finn/src/features/metering/metrics.ts';
import {
  createApiKeyEvents,
  observeCacheSize,
} from '../../services/freeside/src/features/api-keys/events.ts';
import { createAuditEvents } from '../../services/freeside/src/features/audit/events.ts';
import { createInferenceEvents } from '../../services/freeside/src/features/inference/events.ts';
import { createLedgerEvents } from '../../services/freeside/src/features/ledger/events.ts';
import { createPaymentEvents } from '../../services/freeside/src/features/payments/events.ts';
import { createReservationEvents } from '../../services/freeside/src/features/reservations/events.ts';
import { observeQueueDepth } from '../../services/freeside/src/features/reservations/metrics.ts';
import { usageBacklogJob } from '../../services/freeside/src/features/reservations/usage-backlog.job.ts';
import { createS2SEvents } from '../../services/freeside/src/features/s2s/events.ts';
import { startJobs } from '../../services/freeside/src/features/scheduling/periodic-job.ts';

type Registry = ReturnType<typeof createRegistry>;

/** A metric as prom-client holds it; its types leave these out. */
interface Described {
  readonly name: string;
  readonly type: string;
  readonly help: string;
  readonly labelNames: readonly string[];
}

const logger = createLogger({ service: 'generate', level: 'silent' });
const NO_CONNECTIONS = { totalCount: 0, idleCount: 0, waitingCount: 0 };
const NO_METERING = {
  pending: 0,
  oldestPendingSeconds: 0,
  isConnected: false,
  spoolBytes: 0,
  spoolMaxBytes: 0,
};

/** Nothing is read from these registries: the metrics are created to be named. */
const PROCESSES: readonly (readonly [string, (registry: Registry) => void])[] = [
  [
    'freeside, role api',
    (registry) => {
      createHttpMetrics(registry);
      createS2SEvents(registry, logger);
      createApiKeyEvents(registry, logger);
      observeCacheSize(registry, () => ({ known: 0, unknown: 0 }));
      createInferenceEvents(registry, logger);
      createPaymentEvents(registry, logger);
      createReservationEvents(registry, logger);
      observeQueueDepth(registry, () => 0);
      observeDatabasePool(registry, NO_CONNECTIONS, 0);
      createFlagMetrics(
        registry,
        () => NOTHING_TOLD,
        () => undefined,
      );
    },
  ],
  [
    'freeside, role worker',
    (registry) => {
      createPaymentEvents(registry, logger);
      createReservationEvents(registry, logger);
      createLedgerEvents(registry, logger);
      createAuditEvents(registry, logger);
      void startJobs([], { registry, logger });
      usageBacklogJob({ registry, read: () => Promise.resolve(undefined) });
      observeDatabasePool(registry, NO_CONNECTIONS, 0);
      createFlagMetrics(
        registry,
        () => NOTHING_TOLD,
        () => undefined,
      );
    },
  ],
  [
    'finn',
    (registry) => {
      createHttpMetrics(registry);
      createEvents(registry, logger);
      observeKeyAge(registry, () => undefined);
      createMeteringMetrics(registry, () => NO_METERING);
      observeDatabasePool(registry, NO_CONNECTIONS, 0);
      createFlagMetrics(
        registry,
        () => NOTHING_TOLD,
        () => undefined,
      );
    },
  ],
  [
    'controller',
    (registry) => {
      createControllerMetrics(registry);
      observeDatabasePool(registry, NO_CONNECTIONS, 0);
    },
  ],
];

/** Name, type, labels and help of all metrics of our own, process by process. */
export function metricsDocument(): string {
  const sections = PROCESSES.map(([title, create]) => {
    const registry = createRegistry('generate');
    registry.clear();
    create(registry);
    const rows = (registry.getMetricsAsArray() as unknown as Described[]).map(row).sort();
    return `## ${title}\n\n| name | type | labels | what |\n| --- | --- | --- | --- |\n${rows.join('\n')}`;
  });
  return `# Metrics

Made by \`make generate\`. Each process serves these at \`/metrics\` of its admin port, besides the
default metrics of prom-client (\`process_*\`, \`nodejs_*\`). Each series has the label \`service\` too.
What is made of them: [observability](../architecture/observability.md).

${sections.join('\n\n')}
`;
}

function row({ name, type, help, labelNames }: Described): string {
  const labels = labelNames.map((label) => `\`${label}\``).join(', ');
  return `| \`${name}\` | ${type} | ${labels} | ${help} |`;
}

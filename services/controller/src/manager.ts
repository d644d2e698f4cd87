import { hostname } from 'node:os';
import { randomUUID } from 'node:crypto';
import { createPool, type Queryable } from '@arrakis/postgres';
import {
  createRegistry,
  observeDatabasePool,
  type Logger,
  type Secret,
} from '@arrakis/service-kit';
import type { Registry } from 'prom-client';
import type { ControllerConfig, ControllerSecrets } from './config/config.ts';
import { ApiClient, FIELD_MANAGER } from './kubernetes/api.client.ts';
import { connectToCluster, type KubeConnection } from './kubernetes/connection.ts';
import { CONFIG_MAPS, LEASES, type ConfigMapObject } from './kubernetes/objects.ts';
import { createControllerMetrics, type ControllerMetrics } from './metrics.ts';
import { MountingPods } from './mounts/mounting-pods.client.ts';
import { FlagsBucket } from './reconcilers/feature-flags/bucket.client.ts';
import {
  FLAGS_CONFIG_MAP,
  FLAGS_REVISION_ANNOTATION,
  FLAGS_SELECTOR,
  FlagsReconciler,
} from './reconcilers/feature-flags/reconciler.ts';
import {
  ACTIVE_KID_ANNOTATION,
  SIGNING_KEYS,
  type SigningKeyObject,
} from './reconcilers/signing-key/resource.ts';
import { SigningKeyReconciler } from './reconcilers/signing-key/reconciler.ts';
import { startController } from './runtime/controller.ts';
import { EventRecorder } from './runtime/event-recorder.ts';
import { LeaderElection } from './runtime/leader-election.ts';

const POOL_MAX = 4;
/** Longer and a renewal that hangs would cost the leadership. */
const LEASE_READ_TIMEOUT_MS = 3_000;

/** NATS comes back at any moment, and then flags have to take effect within seconds. */
const FLAGS_BACKOFF = { firstMs: 200, maxMs: 2_000 };

interface Closable {
  close(): Promise<unknown>;
}

/** Everything the controller consists of, wired: a Lease decides whether it works. */
export interface Manager {
  readonly registry: Registry;
  readonly election: LeaderElection;
  readonly checks: () => Readonly<Record<string, () => Promise<void>>>;
  /** Stops looking at resources; what is under way ends. */
  drain(): Promise<void>;
  /** Hands the leadership over. */
  close(): Promise<void>;
}

interface Parts {
  readonly config: ControllerConfig;
  readonly connection: KubeConnection;
  readonly namespace: string;
  readonly identity: string;
  readonly db: Queryable;
  readonly natsUrl: Secret | undefined;
  readonly metrics: ControllerMetrics;
  readonly registry: Registry;
  readonly logger: Logger;
}

export async function createManager(
  config: ControllerConfig,
  secrets: ControllerSecrets,
  logger: Logger,
): Promise<Manager> {
  const registry = createRegistry('controller');
  const metrics = createControllerMetrics(registry);
  const connection = await connectToCluster(config.kubeconfig);
  const namespace = config.namespace ?? connection.namespace;
  const db = createPool({
    url: secrets.databaseUrl.reveal(),
    max: POOL_MAX,
    applicationName: 'controller',
    onError: (error) => logger.warn({ err: error }, 'database connection lost'),
  });
  observeDatabasePool(registry, db, POOL_MAX);
  const identity = `${config.identity ?? hostname()}_${randomUUID().slice(0, 8)}`;
  const { natsUrl } = secrets;
  const parts = { config, connection, namespace, identity, db, natsUrl, metrics, registry, logger };
  const terms = new Terms(parts);
  const leaseApi = new ApiClient({
    connection,
    onRequest: metrics.runtime.apiRequest,
    readTimeoutMs: LEASE_READ_TIMEOUT_MS,
  });
  const election = new LeaderElection({
    api: leaseApi,
    ...{ namespace, leaseName: config.leaseName, identity },
    onStarted: () => {
      metrics.runtime.leaderChanged(true);
      logger.info({ identity, namespace }, 'leading');
      terms.begin(election);
    },
    onStopped: (why) => {
      metrics.runtime.leaderChanged(false);
      logger.warn({ identity, why }, 'not leading any more');
      terms.end();
    },
    onError: (error) => logger.warn({ err: error }, 'lease'),
  });
  election.start();
  return {
    registry,
    election,
    checks: () => ({
      'api-server': async () => {
        await leaseApi.list(LEASES, {
          namespace,
          fieldSelector: `metadata.name=${config.leaseName}`,
        });
      },
      [election.isLeading() ? 'leader' : 'follower']: () => Promise.resolve(),
    }),
    drain: () => terms.drain(),
    close: async () => {
      await terms.drain();
      await election.close();
      await leaseApi.close();
      await db.end();
    },
  };
}

/** Controllers run while this process leads; each term has its own. */
class Terms {
  readonly #parts: Parts;
  #running: Closable[] = [];
  #ended: Promise<void> = Promise.resolve();
  #isDrained = false;

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  begin(election: LeaderElection): void {
    if (this.#isDrained) return;
    const { natsUrl } = this.#parts;
    this.#running = [
      this.#signingKeys(election),
      ...(natsUrl === undefined ? [] : [this.#featureFlags(election, natsUrl)]),
    ];
  }

  end(): void {
    const running = this.#running;
    this.#running = [];
    this.#parts.metrics.signingKeys.forget();
    this.#parts.metrics.flags.forget();
    // Writes are refused already; this ends what only reads.
    this.#ended = Promise.all([this.#ended, ...running.map((one) => one.close())]).then(
      () => undefined,
    );
  }

  async drain(): Promise<void> {
    this.#isDrained = true;
    this.end();
    await this.#ended;
  }

  #signingKeys(election: LeaderElection): Closable {
    const { config, db, metrics, logger, namespace } = this.#parts;
    const { guard } = election;
    const { api, events, connection } = this.#client(election);
    const pods = new MountingPods({
      ...{ api, namespace, annotation: ACTIVE_KID_ANNOTATION },
      onPoked: (count) => logger.debug({ pods: count }, 'pods read the signing key at once'),
    });
    const controller = startController<SigningKeyObject>({
      name: 'signing-key',
      connection,
      resource: SIGNING_KEYS,
      selection: { namespace },
      parallelism: config.parallelism,
      ...{ metrics: metrics.runtime, logger },
      reconciler: (known) => {
        metrics.signingKeys.watch(() => known.list());
        const reconciler = new SigningKeyReconciler({
          ...{ api, db, guard, events, known, pods },
          now: () => new Date(),
          minPropagationWaitMs: config.minPropagationWaitMs,
          onPokeFailed: (error) => logger.warn({ err: error }, 'pods were not told of the switch'),
          onAction: (action) => {
            metrics.signingKeys.acted(action);
            logger.info({ action }, 'signing key action');
          },
        });
        return (name) => reconciler.reconcile(name);
      },
    });
    return { close: () => controller.close().finally(() => api.close()) };
  }

  #featureFlags(election: LeaderElection, natsUrl: Secret): Closable {
    const { metrics, logger, namespace } = this.#parts;
    const { api, events, connection } = this.#client(election);
    const bucket = new FlagsBucket(natsUrl, this.#parts.config.natsStreamReplicas);
    const pods = new MountingPods({
      ...{ api, namespace, annotation: FLAGS_REVISION_ANNOTATION, onPoked: metrics.flags.poked },
    });
    const controller = startController<ConfigMapObject>({
      name: 'feature-flags',
      connection,
      resource: CONFIG_MAPS,
      selection: { namespace, labelSelector: FLAGS_SELECTOR },
      parallelism: 1,
      backoff: FLAGS_BACKOFF,
      ...{ metrics: metrics.runtime, logger },
      reconciler: (known) => {
        metrics.flags.watch(() => known.get(FLAGS_CONFIG_MAP));
        const reconciler = new FlagsReconciler({
          ...{ api, bucket, pods, events, known, guard: election.guard, metrics: metrics.flags },
          now: () => new Date(),
        });
        return (name) => reconciler.reconcile(name);
      },
    });
    return {
      close: () => controller.close().finally(() => Promise.all([api.close(), bucket.close()])),
    };
  }

  /** Of one controller: its writes ask whether this process leads. */
  #client(election: LeaderElection) {
    const { connection, identity, metrics, logger } = this.#parts;
    const api = new ApiClient({
      ...{ connection, guard: election.guard, onRequest: metrics.runtime.apiRequest },
    });
    const events = new EventRecorder({
      api,
      controller: FIELD_MANAGER,
      instance: identity,
      onError: (error) => logger.debug({ err: error }, 'event was not recorded'),
    });
    return { api, events, connection: { connection, onRequest: metrics.runtime.apiRequest } };
  }
}

import type { GonogoConfig } from '../config/config.ts';
import type { Gate } from '../gate.domain.ts';
import { EXPECTED_JOBS } from '../probes/alert-rules.domain.ts';
import type { BooksCheck } from '../probes/books.store.ts';
import type { Cluster } from '../probes/cluster.ts';
import { freesideClient } from '../probes/freeside.client.ts';
import { readActiveKey } from '../probes/key-store.ts';
import type { PaymentsCheck } from '../probes/payments.store.ts';
import { prometheusClient } from '../probes/prometheus.client.ts';
import type { Replicas } from '../probes/replicas.domain.ts';
import { auditGate, type AuditTrail } from './audit.ts';
import { authGate } from './auth.ts';
import { billingGate } from './billing.ts';
import { healthGate } from './health.ts';
import { inferenceGate } from './inference.ts';
import { monitoringGate } from './monitoring.ts';
import { notBuiltGate } from './not-built.ts';
import { paymentsGate } from './payments.ts';
import { platformGate } from './platform.ts';
import { rollbackGate } from './rollback.ts';

/** What gates read of the tables. */
export interface Tables {
  readonly checkBooks: () => Promise<BooksCheck>;
  readonly checkPayments: () => Promise<PaymentsCheck>;
  readonly trail: AuditTrail;
}

/** All eleven gates, wired. Nothing is asked before they run. */
export function createGates(config: GonogoConfig, tables: Tables | undefined): readonly Gate[] {
  const { freesideUrl, finnUrls, deadlineMs, apiKey, prometheusUrl, keyStoreDir } = config;
  const freeside = apiKey === undefined ? undefined : freesideClient(freesideUrl, apiKey);
  const cluster = clusterOf(config);
  const replicas = replicasFrom(config, cluster);
  return [
    healthGate({ freesideUrl, finnUrls, replicas, deadlineMs }),
    authGate({
      freesideUrl,
      freeside,
      finnUrls: async () => (cluster === undefined ? finnUrls : (await replicas()).finnUrls),
      activeKey: keyStoreDir === undefined ? undefined : () => readActiveKey(keyStoreDir),
      now: () => new Date(),
      deadlineMs,
    }),
    inferenceGate({ freeside, deadlineMs }),
    billingGate({ freeside, checkBooks: tables?.checkBooks, answers: config.answers, deadlineMs }),
    paymentsGate({
      freesideUrl,
      freeside,
      checkPayments: tables?.checkPayments,
      now: () => new Date(),
      deadlineMs,
    }),
    notBuiltGate('discord', 'does /my-agent open a thread', 'bots'),
    notBuiltGate('dashboard', 'does the admin API return data', 'admin pages'),
    auditGate({
      trail: tables?.trail,
      keys: config.auditKeys,
      after: config.auditAfter,
      deadlineMs,
    }),
    platformGate({ freesideUrl, freeside, deadlineMs }),
    monitoringGate({
      prometheus: prometheusUrl === undefined ? undefined : prometheusClient(prometheusUrl),
      // In a cluster each component is a job of its own, the controller included.
      jobs: config.cluster?.components ?? EXPECTED_JOBS,
      deadlineMs,
    }),
    rollbackGate({ cluster, deadlineMs }),
  ];
}

function clusterOf({ cluster: settings }: GonogoConfig): (() => Promise<Cluster>) | undefined {
  if (settings === undefined) return undefined;
  // Connected when a gate asks: what throws is then that gate's finding. The client library is
  // large; a run without a cluster doesn't wait for it.
  let connected: Promise<Cluster> | undefined;
  return () =>
    (connected ??= import('../probes/cluster.ts').then((module) =>
      module.connectToCluster(settings),
    ));
}

function replicasFrom(
  { adminUrls, finnUrls }: GonogoConfig,
  cluster: (() => Promise<Cluster>) | undefined,
): () => Promise<Replicas> {
  if (cluster !== undefined) return async () => (await cluster()).replicas();
  return () => Promise.resolve({ adminUrls, finnUrls, missing: [], from: 'configuration' });
}

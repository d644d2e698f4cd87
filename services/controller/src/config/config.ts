import type { LogLevel, Secret } from '@arrakis/service-kit';
import { parseDurationMs } from '../reconcilers/signing-key/duration.domain.ts';
import type { ControllerEnv } from './env.ts';

/** What the controller is told, without the secrets; frozen. */
export interface ControllerConfig {
  readonly logLevel: LogLevel;
  readonly admin: { readonly host: string; readonly port: number };
  readonly namespace: string | undefined;
  readonly leaseName: string;
  readonly identity: string | undefined;
  readonly kubeconfig: string | undefined;
  readonly minPropagationWaitMs: number;
  readonly parallelism: number;
  /** Copies of a bucket that is made here. */
  readonly natsStreamReplicas: number;
  readonly drainDeadlineMs: number;
}

/** What must never be printed; each value redacts itself. */
export interface ControllerSecrets {
  readonly databaseUrl: Secret;
  readonly natsUrl: Secret | undefined;
}

/** A look at a resource that is under way ends within its own timeouts. */
const MAX_DRAIN_MS = 15_000;

export function toConfig(env: ControllerEnv): ControllerConfig {
  const minPropagationWaitMs = parseDurationMs(env.CONTROLLER_MIN_PROPAGATION_WAIT);
  if (minPropagationWaitMs === undefined) {
    throw new Error('CONTROLLER_MIN_PROPAGATION_WAIT is no duration');
  }
  return Object.freeze({
    logLevel: env.LOG_LEVEL,
    admin: { host: env.CONTROLLER_ADMIN_HOST, port: env.CONTROLLER_ADMIN_PORT },
    namespace: env.CONTROLLER_NAMESPACE,
    leaseName: env.CONTROLLER_LEASE_NAME,
    identity: env.CONTROLLER_IDENTITY,
    kubeconfig: env.KUBECONFIG,
    minPropagationWaitMs,
    parallelism: env.CONTROLLER_PARALLELISM,
    natsStreamReplicas: env.NATS_STREAM_REPLICAS,
    drainDeadlineMs: Math.min(env.DRAIN_DEADLINE_MS, MAX_DRAIN_MS),
  });
}

export function toSecrets(env: ControllerEnv): ControllerSecrets {
  return Object.freeze({ databaseUrl: env.DATABASE_URL, natsUrl: env.NATS_URL });
}

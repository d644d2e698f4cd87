import {
  COMMON_VARIABLES,
  NATS_STREAM_REPLICAS_VARIABLE,
  SecretString,
  loadEnv,
  portVariable,
} from '@arrakis/service-kit';
import { Type, type Static } from 'typebox';

const DURATION_PATTERN = '^(?:[0-9]{1,9}[smh])+$';

/** Every variable that the controller reads. */
export const ControllerEnv = Type.Object({
  ...COMMON_VARIABLES,
  CONTROLLER_ADMIN_HOST: Type.String({
    description: 'Address of /livez, /readyz and /metrics; never public',
    default: '127.0.0.1',
  }),
  CONTROLLER_ADMIN_PORT: portVariable('Port of /livez, /readyz and /metrics', 9303),
  CONTROLLER_NAMESPACE: Type.Optional(
    Type.String({
      description: 'The namespace it looks after; that of the pod, or of the kubeconfig, if absent',
      pattern: '^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$',
    }),
  ),
  CONTROLLER_LEASE_NAME: Type.String({
    description: 'Lease by which several replicas agree on one leader',
    pattern: '^[a-z0-9]([-.a-z0-9]{0,251}[a-z0-9])?$',
    default: 'arrakis-controller',
  }),
  CONTROLLER_IDENTITY: Type.Optional(
    Type.String({ description: 'Shown in the Lease; the host name if absent', maxLength: 200 }),
  ),
  CONTROLLER_MIN_PROPAGATION_WAIT: Type.String({
    description: 'The least propagationWait that a SigningKey may have; lowered for tests only',
    pattern: DURATION_PATTERN,
    default: '390s',
  }),
  CONTROLLER_PARALLELISM: Type.Integer({
    description: 'Resources looked at at the same time',
    minimum: 1,
    maximum: 64,
    default: 4,
  }),
  KUBECONFIG: Type.Optional(
    Type.String({ description: 'Outside a cluster: the kubeconfig file', maxLength: 4096 }),
  ),
  DATABASE_URL: SecretString({ description: 'PostgreSQL as jwks_writer', maxLength: 2000 }),
  NATS_URL: Type.Optional(
    SecretString({ description: 'NATS with JetStream; without it no flags', maxLength: 2000 }),
  ),
  NATS_STREAM_REPLICAS: NATS_STREAM_REPLICAS_VARIABLE,
});
export type ControllerEnv = Static<typeof ControllerEnv>;

/** @throws EnvError that names every bad variable. */
export function readEnv(): ControllerEnv {
  return loadEnv(ControllerEnv, process.env);
}

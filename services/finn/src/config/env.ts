import {
  COMMON_VARIABLES,
  FLAGS_DIR_VARIABLE,
  NATS_STREAM_REPLICAS_VARIABLE,
  SecretString,
  durationVariable,
  loadEnv,
  portVariable,
} from '@arrakis/service-kit';
import { Type, type Static } from 'typebox';

/** Every variable that finn reads, beside those that its pool file names for vendors' keys. */
export const FinnEnv = Type.Object({
  ...COMMON_VARIABLES,
  FINN_HOST: Type.String({ description: 'Address finn listens on', default: '127.0.0.1' }),
  FINN_PORT: portVariable('Port of finn; 0 picks a free one', 3001),
  FINN_ADMIN_HOST: Type.String({
    description: 'Address of /livez, /readyz and /metrics; never public',
    default: '127.0.0.1',
  }),
  FINN_ADMIN_PORT: portVariable('Port of /livez, /readyz and /metrics', 9302),
  DATABASE_URL: SecretString({ description: 'PostgreSQL as loa_finn_ro', maxLength: 2000 }),
  DATABASE_POOL_MAX: Type.Integer({
    description: 'Connections at most',
    minimum: 1,
    maximum: 100,
    default: 5,
  }),
  REDIS_URL: SecretString({ description: 'Redis, for single use of tokens', maxLength: 2000 }),
  NATS_URL: SecretString({ description: 'NATS with JetStream, for usage events', maxLength: 2000 }),
  NATS_STREAM_REPLICAS: NATS_STREAM_REPLICAS_VARIABLE,
  FLAGS_DIR: FLAGS_DIR_VARIABLE,
  JWKS_URL: Type.String({
    description: 'Where freeside publishes the keys that sign service tokens',
    pattern: '^https?://[^\\s]+$',
    default: 'http://127.0.0.1:3000/.well-known/jwks.json',
  }),
  FINN_POOLS_FILE: Type.Optional(
    Type.String({
      description: 'Pool file; without it all pools are the local model',
      maxLength: 4096,
    }),
  ),
  FINN_SPOOL_DIR: Type.String({
    description: 'Directory of the usage journal; must survive a restart',
    default: '.arrakis/spool',
  }),
  FINN_SPOOL_MAX_BYTES: Type.Integer({
    description: 'Size of the usage journal at which requests are refused',
    minimum: 65_536,
    maximum: 17_179_869_184,
    default: 67_108_864,
  }),
  MODEL_DIR: Type.String({
    description: 'Directory of the local model files',
    default: '.arrakis/models',
  }),
  PROVIDER_TOTAL_TIMEOUT_MS: durationVariable('For one answer, every attempt included', 55_000),
  PROVIDER_IDLE_TIMEOUT_MS: durationVariable('Between two pieces of a provider’s answer', 15_000),
});
export type FinnEnv = Static<typeof FinnEnv>;

/** @throws EnvError that names every bad variable. */
export function readEnv(): FinnEnv {
  return loadEnv(FinnEnv, process.env);
}

/** A variable that the pool file refers to by name. An empty one counts as absent. */
export function readNamedVariable(name: string): string | undefined {
  return process.env[name] === '' ? undefined : process.env[name];
}

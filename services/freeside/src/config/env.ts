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

/** Without credentials: who fails to use them tells the whole URL. */
const ORIGIN = '^https?://[^/@?#]+$';

/** Every variable that freeside reads; `.env.example` is made from this. */
export const FreesideEnv = Type.Object({
  ...COMMON_VARIABLES,
  FREESIDE_HOST: Type.String({ description: 'Address the API listens on', default: '127.0.0.1' }),
  FREESIDE_PORT: portVariable('Port of the API; 0 picks a free one', 3000),
  FREESIDE_ADMIN_HOST: Type.String({
    description: 'Address of /livez, /readyz and /metrics; never public',
    default: '127.0.0.1',
  }),
  FREESIDE_ADMIN_PORT: portVariable('Port of /livez, /readyz and /metrics', 9300),
  FREESIDE_TRUSTED_PROXIES: Type.Optional(
    Type.String({
      description: 'Comma-separated addresses or CIDRs whose X-Forwarded-For is believed',
      maxLength: 1000,
    }),
  ),
  DATABASE_URL: SecretString({ description: 'PostgreSQL as freeside_app', maxLength: 2000 }),
  DATABASE_POOL_MAX: Type.Integer({
    description: 'Connections at most',
    minimum: 2,
    maximum: 100,
    default: 10,
  }),
  NATS_URL: Type.Optional(
    SecretString({
      description: 'NATS with JetStream; the worker needs it, the api follows flags by it',
      maxLength: 2000,
    }),
  ),
  NATS_STREAM_REPLICAS: NATS_STREAM_REPLICAS_VARIABLE,
  FLAGS_DIR: FLAGS_DIR_VARIABLE,
  FINN_URL: Type.String({
    description: 'Where finn answers',
    pattern: '^https?://',
    default: 'http://127.0.0.1:3001',
  }),
  FINN_CONNECT_TIMEOUT_MS: durationVariable('To connect to finn', 5_000),
  FINN_TOTAL_TIMEOUT_MS: durationVariable('For one answer, retries included', 60_000),
  FINN_IDLE_TIMEOUT_MS: durationVariable('Between two pieces of one answer', 20_000),
  S2S_KEY_STORE_DIR: Type.String({
    description: 'Directory of the service-token signing keys (api only)',
    default: '.arrakis/keys',
  }),
  AUDIT_SIGNING_KEY_FILE: Type.Optional(
    Type.String({
      description:
        'PEM of the P-256 key that signs audit checkpoints (worker only); unsigned without',
      maxLength: 1000,
    }),
  ),
  AUDIT_ANCHOR: Type.Optional(
    Type.String({
      description:
        'A noted head (SEQUENCE:HASH) that the audit trail must go through to be signed (worker only)',
      pattern: '^[1-9][0-9]{0,17}:[0-9a-f]{64}$',
    }),
  ),
  FREESIDE_PUBLIC_URL: Type.Optional(
    Type.String({
      description: 'Origin under which the internet reaches the API; payments need it',
      pattern: ORIGIN,
      maxLength: 300,
    }),
  ),
  NOWPAYMENTS_BASE_URL: Type.String({
    description: 'Origin of the payment vendor',
    pattern: ORIGIN,
    default: 'https://api.nowpayments.io',
  }),
  NOWPAYMENTS_API_KEY: Type.Optional(
    SecretString({ description: 'Of the vendor; nothing is sold without it', maxLength: 200 }),
  ),
  NOWPAYMENTS_IPN_SECRET: Type.Optional(
    SecretString({ description: 'Signs the notices of the vendor', maxLength: 200 }),
  ),
  NOWPAYMENTS_EMAIL: Type.Optional(
    SecretString({
      description: 'Of the vendor account; finds payments whose first notice never came (worker)',
      maxLength: 200,
    }),
  ),
  NOWPAYMENTS_PASSWORD: Type.Optional(
    SecretString({ description: 'Of the vendor account (worker)', maxLength: 200 }),
  ),
  API_KEY_PEPPER: SecretString({
    description:
      'version:base64 of at least 32 bytes, comma-separated; the highest hashes new keys',
    maxLength: 4000,
  }),
});
export type FreesideEnv = Static<typeof FreesideEnv>;

/** @throws EnvError that names every bad variable. */
export function readEnv(): FreesideEnv {
  return loadEnv(FreesideEnv, process.env);
}

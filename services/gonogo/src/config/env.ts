import { SecretString, durationVariable, loadEnv } from '@arrakis/service-kit';
import { Type, type Static } from 'typebox';

const HTTP_URL = '^https?://[^\\s@?#]+$';
const urls = (description: string, fallback: string) =>
  Type.String({
    description,
    pattern: `^https?://[^\\s@?#]+$`,
    maxLength: 4000,
    default: fallback,
  });

/** Every variable that gonogo reads. */
export const GonogoEnv = Type.Object({
  FREESIDE_URL: urls('Public API of freeside', 'http://127.0.0.1:3000'),
  FINN_URL: urls('finn; comma-separated, one URL a replica', 'http://127.0.0.1:3001'),
  GONOGO_ADMIN_URLS: urls(
    'Admin addresses of every replica, comma-separated; a cluster is asked instead',
    'http://127.0.0.1:9300,http://127.0.0.1:9301,http://127.0.0.1:9302',
  ),
  GONOGO_API_KEY: Type.Optional(
    SecretString({ description: 'API key of a test community with credits', maxLength: 200 }),
  ),
  GONOGO_GATES: Type.Optional(
    Type.String({
      description: 'Gates to run, comma-separated; all if absent; --gates goes before it',
      pattern: '^[a-z]+(,[a-z]+)*$',
      maxLength: 200,
    }),
  ),
  GONOGO_ANSWERS: Type.Integer({
    description: 'Metered answers that the billing gate buys',
    minimum: 1,
    maximum: 50,
    default: 3,
  }),
  GONOGO_GATE_DEADLINE_MS: durationVariable('For one gate', 120_000),
  GONOGO_RELEASE: Type.Optional(
    Type.String({
      description: 'Helm release in the cluster; without it no cluster is asked',
      pattern: '^[a-z0-9]([-a-z0-9]{0,51}[a-z0-9])?$',
    }),
  ),
  GONOGO_NAMESPACE: Type.Optional(
    Type.String({
      description: "Namespace of the release; the pod's own",
      pattern: '^[-a-z0-9]+$',
    }),
  ),
  GONOGO_COMPONENTS: Type.String({
    description: 'Components that must have ready replicas in the cluster, comma-separated',
    pattern: '^[-a-z0-9]+(,[-a-z0-9]+)*$',
    default: 'freeside-api,freeside-worker,finn,controller',
  }),
  KUBECONFIG: Type.Optional(
    Type.String({ description: 'Outside a cluster, how to reach one', maxLength: 4096 }),
  ),
  S2S_KEY_STORE_DIR: Type.Optional(
    Type.String({
      description: "freeside's signing keys, to make tokens that finn must accept or refuse",
      maxLength: 4096,
    }),
  ),
  DATABASE_URL: Type.Optional(
    SecretString({ description: 'PostgreSQL as freeside_app, to read the books', maxLength: 2000 }),
  ),
  PROMETHEUS_URL: Type.Optional(
    Type.String({ description: 'Prometheus that has our rules', pattern: HTTP_URL }),
  ),
  GONOGO_AUDIT_KEYS: Type.Optional(
    SecretString({
      description: 'Public keys (PEM, one after the other) that may have signed the audit trail',
      maxLength: 8000,
    }),
  ),
  GONOGO_AUDIT_AFTER: Type.Optional(
    Type.String({
      description:
        'Verify the audit trail from this head on (SEQUENCE:HASH), not from its beginning',
      pattern: '^[1-9][0-9]{0,17}:[0-9a-f]{64}$',
    }),
  ),
  GONOGO_REPORT_FILE: Type.String({
    description: 'Where the signed report is written; - prints it as the last line',
    maxLength: 4096,
    default: '.arrakis/gonogo/report.json',
  }),
  GONOGO_SIGNING_KEY: Type.Optional(
    SecretString({
      description: 'P-256 private key (PEM) that signs the report; one is made if absent',
      maxLength: 4000,
    }),
  ),
});
export type GonogoEnv = Static<typeof GonogoEnv>;

/** @throws EnvError that names every bad variable. */
export function readEnv(): GonogoEnv {
  return loadEnv(GonogoEnv, process.env);
}

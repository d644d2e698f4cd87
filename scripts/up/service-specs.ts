import { optionalEnv } from '../lib/env.ts';
import type { Pools } from './steps/pools.ts';
import type { LocalSecrets } from './steps/secrets.ts';
import { HOST, type ProcessName, type Stack } from './stack.ts';

/** How a service is started. */
export interface ServiceSpec {
  readonly name: ProcessName;
  /** Relative to the repository. */
  readonly entry: string;
  readonly args: readonly string[];
  /** Its configuration; beside it, it sees only what a process needs to run at all. */
  readonly settings: Readonly<Record<string, string>>;
  readonly port: number;
  readonly adminPort: number;
  /** Files that it reads when it starts, so that a change of them means a restart. */
  readonly reads: readonly string[];
}

export interface BackendUrls {
  /** As `user:password@host:port` needs it: the part after the `@`, with the database. */
  readonly database: string;
  readonly redis: string;
  readonly nats: string;
}

/** What the three services get, and nothing else of the developer's environment. */
export function serviceSpecs(
  stack: Stack,
  backends: BackendUrls,
  secrets: LocalSecrets,
  pools: Pools,
): readonly ServiceSpec[] {
  const { ports, folders } = stack;
  const common = {
    NODE_ENV: 'development',
    LOG_LEVEL: optionalEnv('LOG_LEVEL') ?? 'info',
    NATS_URL: backends.nats,
  };
  const freeside = {
    ...common,
    DATABASE_URL: databaseUrl('freeside_app', secrets.freesidePassword, backends),
    API_KEY_PEPPER: secrets.apiKeyPepper,
    S2S_KEY_STORE_DIR: folders.keys,
    FINN_URL: url(ports.finn),
    FREESIDE_HOST: HOST,
    FREESIDE_PORT: String(ports.freeside),
    FREESIDE_ADMIN_HOST: HOST,
  };
  return [
    {
      name: 'finn',
      entry: 'services/finn/src/main.ts',
      args: [],
      port: ports.finn,
      adminPort: ports.finnAdmin,
      reads: [pools.file],
      settings: {
        ...common,
        DATABASE_URL: databaseUrl('loa_finn_ro', secrets.finnPassword, backends),
        REDIS_URL: backends.redis,
        FINN_HOST: HOST,
        FINN_PORT: String(ports.finn),
        FINN_ADMIN_HOST: HOST,
        FINN_ADMIN_PORT: String(ports.finnAdmin),
        JWKS_URL: `${url(ports.freeside)}/.well-known/jwks.json`,
        FINN_POOLS_FILE: pools.file,
        FINN_SPOOL_DIR: folders.spool,
        MODEL_DIR: folders.models,
        ...pools.vendorKeys,
      },
    },
    {
      name: 'freeside-api',
      entry: 'services/freeside/src/main.ts',
      args: ['api'],
      port: ports.freeside,
      adminPort: ports.freesideAdmin,
      reads: [],
      settings: { ...freeside, FREESIDE_ADMIN_PORT: String(ports.freesideAdmin) },
    },
    {
      name: 'freeside-worker',
      entry: 'services/freeside/src/main.ts',
      args: ['worker'],
      port: ports.freesideWorkerAdmin,
      adminPort: ports.freesideWorkerAdmin,
      reads: [],
      settings: { ...freeside, FREESIDE_ADMIN_PORT: String(ports.freesideWorkerAdmin) },
    },
  ];
}

export function databaseUrl(
  role: string,
  password: string,
  backends: Pick<BackendUrls, 'database'>,
): string {
  return `postgres://${role}:${encodeURIComponent(password)}@${backends.database}`;
}

export function url(port: number): string {
  return `http://${HOST}:${String(port)}`;
}

import { join } from 'node:path';
import { optionalEnv } from '../lib/env.ts';
import type { PaymentVendor } from './steps/payment-vendor.ts';
import type { Pools } from './steps/pools.ts';
import type { LocalSecrets } from './steps/secrets.ts';
import { HOST, url, type ProcessName, type Stack } from './stack.ts';

/** How a service is started. */
export interface ServiceSpec {
  readonly name: ProcessName;
  /** Relative to the repository. */
  readonly entry: string;
  readonly args: readonly string[];
  /** Its configuration; beside it, it sees only what a process needs to run at all. */
  readonly settings: Readonly<Record<string, string>>;
  readonly port: number;
  /** Answers with 2xx once it is ready. */
  readonly readyUrl: string;
  /** Folders, relative to the repository, and files that it reads when it starts: a change of them means a restart. */
  readonly sources: readonly string[];
  readonly reads: readonly string[];
}

export interface BackendUrls {
  /** As `user:password@host:port` needs it: the part after the `@`, with the database. */
  readonly database: string;
  readonly redis: string;
  readonly nats: string;
}

const FREESIDE = {
  entry: 'services/freeside/src/main.ts',
  sources: ['services/freeside/src', 'packages'],
  reads: [],
} as const;

/** What each service gets, and nothing else of the developer's environment. */
export function serviceSpecs(
  stack: Stack,
  backends: BackendUrls,
  secrets: LocalSecrets,
  { pools, vendor }: { readonly pools: Pools; readonly vendor: PaymentVendor },
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
    ...vendor.settings,
  };
  return [
    ...(vendor.isFake ? [fakeVendorSpec(stack, vendor)] : []),
    {
      name: 'finn',
      entry: 'services/finn/src/main.ts',
      args: [],
      port: ports.finn,
      readyUrl: readyUrl(ports.finnAdmin),
      sources: ['services/finn/src', 'packages'],
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
      ...FREESIDE,
      name: 'freeside-api',
      args: ['api'],
      port: ports.freeside,
      readyUrl: readyUrl(ports.freesideAdmin),
      settings: { ...freeside, FREESIDE_ADMIN_PORT: String(ports.freesideAdmin) },
    },
    {
      ...FREESIDE,
      name: 'freeside-worker',
      args: ['worker'],
      port: ports.freesideWorkerAdmin,
      readyUrl: readyUrl(ports.freesideWorkerAdmin),
      settings: { ...freeside, FREESIDE_ADMIN_PORT: String(ports.freesideWorkerAdmin) },
    },
  ];
}

/** The vendor that takes no money; it keeps what it knows, so that a restart loses no invoice. */
function fakeVendorSpec({ ports, folders }: Stack, vendor: PaymentVendor): ServiceSpec {
  return {
    name: 'fake-nowpayments',
    entry: 'scripts/fake-nowpayments.ts',
    args: [],
    port: ports.fakeNowpayments,
    readyUrl: `${url(ports.fakeNowpayments)}/v1/status`,
    sources: ['packages/testkit/src/nowpayments'],
    reads: [join(folders.root, 'scripts/fake-nowpayments.ts')],
    settings: {
      NODE_ENV: 'development',
      NOWPAYMENTS_API_KEY: vendor.settings.NOWPAYMENTS_API_KEY,
      NOWPAYMENTS_IPN_SECRET: vendor.settings.NOWPAYMENTS_IPN_SECRET,
      FAKE_NOWPAYMENTS_HOST: HOST,
      FAKE_NOWPAYMENTS_PORT: String(ports.fakeNowpayments),
      FAKE_NOWPAYMENTS_STATE_FILE: join(folders.data, 'fake-nowpayments.json'),
    },
  };
}

export function readyUrl(adminPort: number): string {
  return `${url(adminPort)}/readyz`;
}

export function databaseUrl(
  role: string,
  password: string,
  backends: Pick<BackendUrls, 'database'>,
): string {
  return `postgres://${role}:${encodeURIComponent(password)}@${backends.database}`;
}

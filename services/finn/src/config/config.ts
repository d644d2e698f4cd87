import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { LogLevel } from '@arrakis/service-kit';
import { parsePoolFile, targetsOf, type PoolFile } from '../features/pools/pool-file.domain.ts';
import type { FinnEnv } from './env.ts';

/** All pools are the local model, so that a fresh checkout answers. */
const DEFAULT_POOLS_FILE = fileURLToPath(new URL('../../pools.local.json', import.meta.url));

/** What finn is told, without the secrets; frozen. */
export interface FinnConfig {
  readonly logLevel: LogLevel;
  readonly http: { readonly host: string; readonly port: number };
  readonly admin: { readonly host: string; readonly port: number };
  readonly databasePoolMax: number;
  readonly jwksUrl: string;
  /** Where the ConfigMap of the flags is mounted, if anywhere. */
  readonly flagsDir: string | undefined;
  /** Copies of a stream that is made here. */
  readonly natsStreamReplicas: number;
  readonly pools: PoolFile;
  readonly spool: { readonly dir: string; readonly maxBytes: number };
  readonly modelDir: string;
  readonly provider: { readonly totalTimeoutMs: number; readonly idleTimeoutMs: number };
  readonly drain: { readonly announceMs: number; readonly deadlineMs: number };
  readonly tracing: { readonly endpoint: string | undefined; readonly sampleRatio: number };
}

/** The values are each valid but don't go together. */
class ConfigError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'ConfigError';
  }
}

/** @throws ConfigError on contradictions and unsafe production values; PoolFileError. */
export function toConfig(env: FinnEnv): FinnConfig {
  if (env.PROVIDER_IDLE_TIMEOUT_MS > env.PROVIDER_TOTAL_TIMEOUT_MS) {
    throw new ConfigError('PROVIDER_IDLE_TIMEOUT_MS must not exceed PROVIDER_TOTAL_TIMEOUT_MS');
  }
  if (env.FINN_PORT !== 0 && env.FINN_PORT === env.FINN_ADMIN_PORT) {
    throw new ConfigError('FINN_PORT and FINN_ADMIN_PORT must differ');
  }
  const pools = readPoolFile(env.FINN_POOLS_FILE ?? DEFAULT_POOLS_FILE);
  if (env.NODE_ENV === 'production' && usesCanned(pools)) {
    throw new ConfigError('FINN_POOLS_FILE must not have canned targets in production');
  }
  return Object.freeze({
    logLevel: env.LOG_LEVEL,
    http: { host: env.FINN_HOST, port: env.FINN_PORT },
    admin: { host: env.FINN_ADMIN_HOST, port: env.FINN_ADMIN_PORT },
    databasePoolMax: env.DATABASE_POOL_MAX,
    jwksUrl: env.JWKS_URL,
    natsStreamReplicas: env.NATS_STREAM_REPLICAS,
    flagsDir: env.FLAGS_DIR,
    pools,
    spool: { dir: env.FINN_SPOOL_DIR, maxBytes: env.FINN_SPOOL_MAX_BYTES },
    modelDir: env.MODEL_DIR,
    provider: {
      totalTimeoutMs: env.PROVIDER_TOTAL_TIMEOUT_MS,
      idleTimeoutMs: env.PROVIDER_IDLE_TIMEOUT_MS,
    },
    drain: { announceMs: env.DRAIN_ANNOUNCE_MS, deadlineMs: env.DRAIN_DEADLINE_MS },
    tracing: {
      endpoint: env.OTEL_EXPORTER_OTLP_ENDPOINT,
      sampleRatio: env.OTEL_TRACES_SAMPLER_ARG,
    },
  });
}

function readPoolFile(path: string): PoolFile {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch {
    throw new ConfigError('FINN_POOLS_FILE must name a readable file');
  }
  let document: unknown;
  try {
    document = JSON.parse(text);
  } catch {
    throw new ConfigError('FINN_POOLS_FILE must name a file of valid JSON');
  }
  return parsePoolFile(document);
}

function usesCanned(pools: PoolFile): boolean {
  return targetsOf(pools).some(({ entry }) => entry.provider === 'canned');
}

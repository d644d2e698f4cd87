import { isIP } from 'node:net';
import { isAbsolute } from 'node:path';
import { parseHead, type Head } from '@arrakis/audit';
import type { LogLevel } from '@arrakis/service-kit';
import type { FreesideEnv } from './env.ts';

/** What freeside is told, without the secrets; frozen. */
export interface FreesideConfig {
  readonly logLevel: LogLevel;
  readonly http: {
    readonly host: string;
    readonly port: number;
    readonly trustedProxies: string[] | undefined;
  };
  readonly admin: { readonly host: string; readonly port: number };
  readonly databasePoolMax: number;
  readonly finn: {
    readonly url: string;
    readonly connectTimeoutMs: number;
    readonly totalTimeoutMs: number;
    readonly idleTimeoutMs: number;
  };
  readonly keyStoreDir: string;
  readonly payments: { readonly baseUrl: string; readonly publicUrl: string | undefined };
  readonly audit: {
    /** Of the key that signs checkpoints, if they are signed. */
    readonly keyFile: string | undefined;
    /** A link that the trail must go through to be signed, if one was noted. */
    readonly anchor: Head | undefined;
  };
  /** Where the ConfigMap of the flags is mounted, if anywhere. */
  readonly flagsDir: string | undefined;
  /** Copies of a stream that is made here. */
  readonly natsStreamReplicas: number;
  readonly drain: { readonly announceMs: number; readonly deadlineMs: number };
  readonly tracing: { readonly endpoint: string | undefined; readonly sampleRatio: number };
}

/** The values are each valid but don't go together. */
export class ConfigError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'ConfigError';
  }
}

/** @throws ConfigError on contradictions. */
export function toConfig(env: FreesideEnv): FreesideConfig {
  if (env.FINN_CONNECT_TIMEOUT_MS >= env.FINN_TOTAL_TIMEOUT_MS) {
    throw new ConfigError('FINN_CONNECT_TIMEOUT_MS must be less than FINN_TOTAL_TIMEOUT_MS');
  }
  if (env.FINN_IDLE_TIMEOUT_MS > env.FINN_TOTAL_TIMEOUT_MS) {
    throw new ConfigError('FINN_IDLE_TIMEOUT_MS must not exceed FINN_TOTAL_TIMEOUT_MS');
  }
  refuseUnsafeProduction(env);
  refuseHalfPayments(env);
  const clash = env.FREESIDE_PORT !== 0 && env.FREESIDE_PORT === env.FREESIDE_ADMIN_PORT;
  if (clash) throw new ConfigError('FREESIDE_PORT and FREESIDE_ADMIN_PORT must differ');
  return Object.freeze({
    logLevel: env.LOG_LEVEL,
    http: {
      host: env.FREESIDE_HOST,
      port: env.FREESIDE_PORT,
      trustedProxies: readTrustedProxies(env.FREESIDE_TRUSTED_PROXIES),
    },
    admin: { host: env.FREESIDE_ADMIN_HOST, port: env.FREESIDE_ADMIN_PORT },
    databasePoolMax: env.DATABASE_POOL_MAX,
    finn: {
      url: env.FINN_URL,
      connectTimeoutMs: env.FINN_CONNECT_TIMEOUT_MS,
      totalTimeoutMs: env.FINN_TOTAL_TIMEOUT_MS,
      idleTimeoutMs: env.FINN_IDLE_TIMEOUT_MS,
    },
    keyStoreDir: env.S2S_KEY_STORE_DIR,
    payments: { baseUrl: env.NOWPAYMENTS_BASE_URL, publicUrl: env.FREESIDE_PUBLIC_URL },
    audit: { keyFile: env.AUDIT_SIGNING_KEY_FILE, anchor: parseHead(env.AUDIT_ANCHOR ?? '') },
    natsStreamReplicas: env.NATS_STREAM_REPLICAS,
    flagsDir: env.FLAGS_DIR,
    drain: { announceMs: env.DRAIN_ANNOUNCE_MS, deadlineMs: env.DRAIN_DEADLINE_MS },
    tracing: {
      endpoint: env.OTEL_EXPORTER_OTLP_ENDPOINT,
      sampleRatio: env.OTEL_TRACES_SAMPLER_ARG,
    },
  });
}

/** @throws ConfigError: the framework would fail over it later, and name no variable. */
function readTrustedProxies(list: string | undefined): string[] | undefined {
  const proxies = list?.split(',').map((proxy) => proxy.trim());
  const wrong = proxies?.find((proxy) => !isAddressOrCidr(proxy));
  if (wrong === undefined) return proxies;
  throw new ConfigError(
    `FREESIDE_TRUSTED_PROXIES: ${JSON.stringify(wrong)} is neither an address nor a CIDR block`,
  );
}

/** A prefix of 0 would believe everybody. */
function isAddressOrCidr(text: string): boolean {
  const [address = '', prefix, ...rest] = text.split('/');
  const family = isIP(address);
  if (family === 0 || address.includes('%') || rest.length > 0) return false;
  if (prefix === undefined) return true;
  return /^[1-9]\d{0,2}$/.test(prefix) && Number(prefix) <= (family === 4 ? 32 : 128);
}

/** A payment that could be made but never heard of. */
function refuseHalfPayments(env: FreesideEnv): void {
  if (env.NOWPAYMENTS_API_KEY === undefined) return;
  if (env.NOWPAYMENTS_IPN_SECRET === undefined) {
    throw new ConfigError('NOWPAYMENTS_API_KEY needs NOWPAYMENTS_IPN_SECRET beside it');
  }
  if (env.FREESIDE_PUBLIC_URL === undefined) {
    throw new ConfigError('NOWPAYMENTS_API_KEY needs FREESIDE_PUBLIC_URL beside it');
  }
}

/** What is handy on one machine and dangerous on many. */
function refuseUnsafeProduction(env: FreesideEnv): void {
  if (env.NODE_ENV !== 'production') return;
  if (!isAbsolute(env.S2S_KEY_STORE_DIR)) {
    throw new ConfigError('S2S_KEY_STORE_DIR must be an absolute path in production');
  }
  if (env.LOG_LEVEL === 'trace' || env.LOG_LEVEL === 'debug') {
    throw new ConfigError('LOG_LEVEL must not be trace or debug in production');
  }
  // The vendor's word mints credits. A stand-in for it, which has no certificate, must not give it.
  if (!env.NOWPAYMENTS_BASE_URL.startsWith('https://')) {
    throw new ConfigError('NOWPAYMENTS_BASE_URL must be https in production');
  }
}

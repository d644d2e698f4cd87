import { createFlags, type Flags } from '@arrakis/flags';
import { createPool } from '@arrakis/postgres';
import {
  createRegistry,
  observeDatabasePool,
  type Lifecycle,
  type Logger,
} from '@arrakis/service-kit';
import type { Registry } from 'prom-client';
import type { FinnConfig } from './config/config.ts';
import type { FinnSecrets } from './config/secrets.ts';
import { createEvents, observeKeyAge, type FinnEvents } from './events.ts';
import { InferenceService } from './features/inference/service.ts';
import { createMetering } from './features/metering/metering.service.ts';
import { PersonalityService } from './features/personality/service.ts';
import { ProbeJob } from './features/pools/probe.job.ts';
import { PoolService } from './features/pools/service.ts';
import { JwksClient } from './features/s2s-auth/jwks.client.ts';
import { KEY_CACHE, KeyCache } from './features/s2s-auth/key-cache.ts';
import { S2SAuthService } from './features/s2s-auth/service.ts';
import { createChecks, type FinnChecks } from './checks.ts';
import { connectRedis } from './redis.ts';
import { createTargets } from './targets.ts';

const monotonicMs = (): number => performance.now();

/** Everything that a running finn consists of, wired and started, apart from its two servers. */
export interface FinnContext {
  readonly logger: Logger;
  readonly registry: Registry;
  readonly lifecycle: Lifecycle;
  readonly events: FinnEvents;
  readonly auth: S2SAuthService;
  readonly inference: InferenceService;
  readonly flags: Flags;
  /** For `/readyz`. */
  readonly checks: FinnChecks;
  /** Breaks off open answers, publishes what was counted, and lets go of everything. */
  close(): Promise<void>;
}

const FLUSH_DEADLINE_MS = 3_000;
const ANSWER_TIMEOUT_MS = 10_000;

/** @throws when the spool can't be opened or a target can't be made */
export async function createContext(
  config: FinnConfig,
  secrets: FinnSecrets,
  logger: Logger,
  lifecycle: Lifecycle,
): Promise<FinnContext> {
  const registry = createRegistry('finn');
  const events = createEvents(registry, logger);
  const targets = createTargets({
    config,
    apiKeys: secrets.apiKeys,
    logger,
    events,
    nowMs: monotonicMs,
  });
  const metering = createMetering({
    spoolDir: config.spool.dir,
    spoolMaxBytes: config.spool.maxBytes,
    natsUrl: secrets.natsUrl.reveal(),
    clientName: 'finn',
    streamReplicas: config.natsStreamReplicas,
    registry,
    log: logger,
    now: () => new Date(),
  });
  const db = openDatabase(config, secrets, { registry, logger });
  const redis = connectRedis(secrets.redisUrl.reveal(), (error) => events.redisFailed(error));
  const jwks = new JwksClient(config.jwksUrl);
  const keys = createKeyCache(jwks, registry, events);
  const auth = new S2SAuthService({
    keys,
    redis,
    nowMs: Date.now,
    onRedisFailure: (error) => events.redisFailed(error),
  });
  const pools = new PoolService(targets, monotonicMs);
  const probes = createProbes(events);
  const inference = new InferenceService({
    auth,
    personalities: new PersonalityService(db, monotonicMs),
    pools,
    metering,
    events,
    totalTimeoutMs: config.provider.totalTimeoutMs,
    nowMs: monotonicMs,
  });
  const flags = openFlags(config, secrets, registry, logger);
  await Promise.all([keys.start(), flags.start()]);
  probes.start(pools.targets);

  const close = async (): Promise<void> => {
    await inference.endAll();
    probes.stop();
    keys.stop();
    await metering.drain(FLUSH_DEADLINE_MS);
    await metering.close();
    await flags.close();
    await Promise.all(pools.targets.map((target) => target.provider.close()));
    await Promise.all([jwks.close(), db.end()]);
    redis.disconnect();
  };
  const checks = createChecks({ db, redis, keys, pools });
  return { logger, registry, lifecycle, events, auth, inference, flags, checks, close };
}

function openFlags(
  config: FinnConfig,
  secrets: FinnSecrets,
  registry: Registry,
  log: Logger,
): Flags {
  const natsUrl = secrets.natsUrl.reveal();
  return createFlags({ natsUrl, dir: config.flagsDir, clientName: 'finn', registry, log });
}

function createKeyCache(jwks: JwksClient, registry: Registry, events: FinnEvents): KeyCache {
  const keys = new KeyCache({
    ...KEY_CACHE,
    fetchKeys: () => jwks.fetchKeys(),
    now: monotonicMs,
    onFetched: (outcome, error) => events.keysFetched(outcome, error),
  });
  observeKeyAge(registry, () => keys.ageSeconds);
  return keys;
}

/** Its role can only read, for 5 s a statement. Connects at the first one. */
function openDatabase(
  config: FinnConfig,
  secrets: FinnSecrets,
  { registry, logger }: { readonly registry: Registry; readonly logger: Logger },
): ReturnType<typeof createPool> {
  const db = createPool({
    url: secrets.databaseUrl.reveal(),
    max: config.databasePoolMax,
    applicationName: 'finn',
    answerTimeoutMs: ANSWER_TIMEOUT_MS,
    repeatsLost: true,
    onError: (error) => logger.warn({ err: error }, 'database connection lost'),
  });
  observeDatabasePool(registry, db, config.databasePoolMax);
  return db;
}

function createProbes(events: FinnEvents): ProbeJob {
  return new ProbeJob({
    nowMs: monotonicMs,
    random: Math.random,
    onFailed: (target, error) => events.probeFailed(target, error),
  });
}

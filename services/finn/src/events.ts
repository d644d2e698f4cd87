import type { Pool } from '@arrakis/contracts';
import type { Logger } from '@arrakis/service-kit';
import { Counter, Gauge, Histogram, type Registry } from 'prom-client';
import type { Breaker } from './features/pools/breaker.domain.ts';
import type { ProviderErrorCode } from './features/providers/provider.domain.ts';
import type { KeyFetchOutcome } from './features/s2s-auth/key-cache.ts';
import type { RejectionReason } from './features/s2s-auth/rejection.domain.ts';

/** How an inference ended, after its token was accepted. */
export type InferenceOutcome =
  | 'completed'
  | 'cut'
  | 'caller_gone'
  | 'failed'
  | 'failed_midway'
  | 'rejected'
  | 'unavailable'
  | 'refused';

/** One call to one target. */
export interface EndedAttempt {
  readonly target: string;
  readonly pool: Pool;
  /** `completed`, `ended` (by the caller, a limit or a shutdown), or why the provider failed. */
  readonly outcome: 'completed' | 'ended' | ProviderErrorCode | 'error';
  readonly seconds: number;
}

/** What happened in the business: each event counts and logs together, and nowhere else. */
export type FinnEvents = ReturnType<typeof createEvents>;

const FIRST_TOKEN_BUCKETS_SECONDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 4, 8, 15, 30];
const ATTEMPT_BUCKETS_SECONDS = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 4, 8, 15, 30, 60, 120];
const BREAKER_VALUES = { closed: 0, half_open: 1, open: 2 } as const;

export function createEvents(registry: Registry, logger: Logger) {
  const metrics = createMetrics(registry);
  return {
    tokenRejected(reason: RejectionReason, requestId: string): void {
      metrics.rejections.inc({ reason });
      logger.warn({ reason, requestId }, 's2s token rejected');
    },
    replayRefused(kind: 'jti' | 'reservation', requestId: string): void {
      metrics.replays.inc({ kind });
      if (kind === 'jti') metrics.rejections.inc({ reason: 'replayed' });
      logger.warn({ kind, requestId }, 'replay refused');
    },
    redisFailed(error: unknown): void {
      metrics.redisFailures.inc();
      logger.error({ err: error }, 'redis did not answer');
    },
    keysFetched(outcome: KeyFetchOutcome, error?: unknown): void {
      metrics.keyFetches.inc({ outcome });
      if (outcome !== 'ok') logger.warn({ outcome, err: error }, 'key set not refreshed');
    },
    contractMismatch(version: string, requestId: string): void {
      logger.warn({ version, requestId }, 'caller speaks another contract version');
    },
    probeFailed(target: string, error: unknown): void {
      metrics.probeFailures.inc({ target });
      logger.warn({ target, err: error }, 'target probe failed');
    },
    targetKnown(target: string): void {
      metrics.probeFailures.inc({ target }, 0);
      metrics.breaker.set({ target }, BREAKER_VALUES.closed);
    },
    breakerChanged(target: string, state: Breaker['state']): void {
      metrics.breaker.set({ target }, BREAKER_VALUES[state]);
      logger.warn({ target, state }, 'breaker changed');
    },
    attemptFailed(target: string, pool: Pool, requestId: string, error: unknown): void {
      logger.warn({ target, pool, requestId, err: error }, 'inference attempt failed');
    },
    attemptEnded(attempt: EndedAttempt): void {
      const { target, pool, outcome, seconds } = attempt;
      metrics.attempts.inc({ target, pool, outcome });
      metrics.attemptDuration.observe({ target }, seconds);
    },
    firstToken(pool: Pool, seconds: number): void {
      metrics.firstToken.observe({ pool }, seconds);
    },
    inferenceEnded(pool: Pool, outcome: InferenceOutcome): void {
      metrics.inferences.inc({ pool, outcome });
    },
    tokensDelivered(pool: Pool, promptTokens: number, completionTokens: number): void {
      metrics.tokens.inc({ pool, kind: 'prompt' }, promptTokens);
      metrics.tokens.inc({ pool, kind: 'completion' }, completionTokens);
    },
    streamBegan(): void {
      metrics.activeStreams.inc();
    },
    streamEnded(): void {
      metrics.activeStreams.dec();
    },
  };
}

function createMetrics(registry: Registry) {
  const registers = [registry];
  return {
    inferences: new Counter({
      name: 'finn_inference_total',
      help: 'Inferences by the pool that served them (or was asked for) and how they ended.',
      labelNames: ['pool', 'outcome'] as const,
      registers,
    }),
    firstToken: new Histogram({
      name: 'finn_time_to_first_token_seconds',
      help: 'Seconds from the request to the first token handed to the caller.',
      labelNames: ['pool'] as const,
      buckets: FIRST_TOKEN_BUCKETS_SECONDS,
      registers,
    }),
    tokens: new Counter({
      name: 'finn_tokens_total',
      help: 'Tokens reported as used, by pool and kind (prompt, completion).',
      labelNames: ['pool', 'kind'] as const,
      registers,
    }),
    ...targetMetrics(registers),
    breaker: new Gauge({
      name: 'finn_breaker_state',
      help: 'State of a target: 0 closed, 1 half open, 2 open.',
      labelNames: ['target'] as const,
      registers,
    }),
    rejections: new Counter({
      name: 'finn_s2s_rejections_total',
      help: 'Service tokens refused, by the rule that refused them.',
      labelNames: ['reason'] as const,
      registers,
    }),
    keyFetches: new Counter({
      name: 'finn_jwks_fetch_total',
      help: 'Fetches of the key set by outcome (ok, empty, failed).',
      labelNames: ['outcome'] as const,
      registers,
    }),
    replays: new Counter({
      name: 'finn_replay_refusals_total',
      help: 'Requests refused because their token or reservation was used before.',
      labelNames: ['kind'] as const,
      registers,
    }),
    activeStreams: new Gauge({
      name: 'finn_active_streams',
      help: 'Inferences under way.',
      registers,
    }),
  };
}

function targetMetrics(registers: Registry[]) {
  return {
    attempts: new Counter({
      name: 'finn_attempts_total',
      help: 'Calls to a target, by the pool they served and how they ended.',
      labelNames: ['target', 'pool', 'outcome'] as const,
      registers,
    }),
    attemptDuration: new Histogram({
      name: 'finn_attempt_duration_seconds',
      help: 'Seconds of a call to a target, from its start to its end.',
      labelNames: ['target'] as const,
      buckets: ATTEMPT_BUCKETS_SECONDS,
      registers,
    }),
    probeFailures: new Counter({
      name: 'finn_probe_failures_total',
      help: 'Health checks that a target failed.',
      labelNames: ['target'] as const,
      registers,
    }),
    redisFailures: new Counter({
      name: 'finn_redis_failures_total',
      help: 'Operations that Redis did not answer, and lost connections to it.',
      registers,
    }),
  };
}

/** `finn_jwks_age_seconds`: of the keys in use; absent until there are some. */
export function observeKeyAge(registry: Registry, ageSeconds: () => number | undefined): void {
  new Gauge({
    name: 'finn_jwks_age_seconds',
    help: 'Seconds since the key set was last fetched.',
    registers: [registry],
    collect() {
      const age = ageSeconds();
      if (age !== undefined) this.set(age);
    },
  });
}

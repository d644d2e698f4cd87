import { POOLS, type Pool } from '@arrakis/contracts';
import type { Logger } from '@arrakis/service-kit';
import { Counter, Gauge, Histogram, type Registry } from 'prom-client';
import type { BreakerState } from './finn-breaker.ts';
import type { AttemptOutcome } from './finn-caller.ts';
import type { InferenceApi } from './inference.domain.ts';

export interface EndedInference {
  readonly api: InferenceApi;
  readonly mode: 'stream' | 'plain';
  /** `answered`, how a stream ended, or the code of the refusal. */
  readonly outcome: string;
  /** Since the request was authenticated and parsed. */
  readonly seconds: number;
}

/** What happens to inferences, as metric and, where somebody must look, log line. */
export interface InferenceEvents {
  readonly finished: (ended: EndedInference) => void;
  readonly firstToken: (pool: Pool, seconds: number) => void;
  readonly streamsChanged: (active: number) => void;
  readonly attempted: (outcome: AttemptOutcome) => void;
  readonly breakerChanged: (pool: Pool, state: BreakerState) => void;
  readonly contractVersionDiffers: (version: string) => void;
  /** finn refused what we had validated: our fault or its. */
  readonly refusedByFinn: (requestId: string, status: number, code: string | undefined) => void;
  readonly streamBroke: (requestId: string, reason: string) => void;
  /** The hold could not be decided, or what came between it and finn failed. */
  readonly failed: (
    requestId: string,
    step: 'reserve' | 'find_agent' | 'sign',
    error: unknown,
  ) => void;
  /** A settlement or release failed and is tried again in the background. */
  readonly ledgerDeferred: (requestId: string, operation: string, error: unknown) => void;
  /** It never succeeded here; the usage event or the reconciliation job settles it. */
  readonly ledgerGaveUp: (requestId: string, operation: string) => void;
}

const BREAKER_VALUES: Readonly<Record<BreakerState, number>> = { closed: 0, half_open: 1, open: 2 };
const FIRST_TOKEN_BUCKETS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 60];
const DURATION_BUCKETS = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120];
const APIS: readonly InferenceApi[] = ['inference', 'chat_completions'];
const ATTEMPT_OUTCOMES: readonly AttemptOutcome[] = [
  'streaming',
  'refused',
  'unavailable',
  'aborted',
  'breaker_open',
];
/** Ends that alerts watch: exposed as 0 from the start, or a rate would miss the first of them. */
const WATCHED_OUTCOMES = [
  'answered',
  'failed',
  'client_gone',
  'insufficient_credits',
  'rate_limited',
  'inference_failed',
  'inference_unavailable',
  'service_unavailable',
] as const;
/** One line a minute for a finn of another version, not one a request. */
const VERSION_WARNING_PERIOD_MS = 60_000;

export function createInferenceEvents(registry: Registry, logger: Logger): InferenceEvents {
  const metrics = createMetrics(registry);
  exposeFromTheStart(metrics);
  let versionWarnedAtMs = Number.NEGATIVE_INFINITY;
  return {
    finished({ api, mode, outcome, seconds }) {
      metrics.total.inc({ api, outcome });
      if (outcome === 'answered') metrics.duration.observe({ mode }, seconds);
    },
    firstToken: (pool, seconds) => metrics.firstToken.observe({ pool }, seconds),
    streamsChanged: (active) => metrics.activeStreams.set(active),
    attempted: (outcome) => metrics.attempts.inc({ outcome }),
    breakerChanged(pool, state) {
      metrics.breaker.set({ pool }, BREAKER_VALUES[state]);
      if (state !== 'half_open') logger.warn({ pool, state }, 'finn breaker changed');
    },
    contractVersionDiffers(version) {
      metrics.versionMismatches.inc();
      if (performance.now() - versionWarnedAtMs < VERSION_WARNING_PERIOD_MS) return;
      versionWarnedAtMs = performance.now();
      logger.warn({ contractVersion: version }, 'finn speaks another contract version');
    },
    refusedByFinn(requestId, status, code) {
      logger.error({ requestId, status, code }, 'finn refused a request');
    },
    streamBroke(requestId, reason) {
      logger.warn({ requestId, reason }, 'stream broke off');
    },
    failed(requestId, step, error) {
      logger.error({ requestId, step, err: error }, 'inference failed before dispatch');
    },
    ledgerDeferred(requestId, operation, error) {
      metrics.ledgerRetries.inc({ operation, outcome: 'deferred' });
      logger.warn({ requestId, operation, err: error }, 'ledger operation deferred');
    },
    ledgerGaveUp(requestId, operation) {
      metrics.ledgerRetries.inc({ operation, outcome: 'gave_up' });
      logger.error({ requestId, operation }, 'ledger operation left to reconciliation');
    },
  };
}

function exposeFromTheStart(metrics: ReturnType<typeof createMetrics>): void {
  const { total, attempts, breaker, ledgerRetries } = metrics;
  for (const api of APIS) for (const outcome of WATCHED_OUTCOMES) total.inc({ api, outcome }, 0);
  for (const outcome of ATTEMPT_OUTCOMES) attempts.inc({ outcome }, 0);
  for (const operation of ['settle', 'release']) {
    for (const outcome of ['deferred', 'gave_up']) ledgerRetries.inc({ operation, outcome }, 0);
  }
  for (const pool of POOLS) breaker.set({ pool }, BREAKER_VALUES.closed);
}

function createMetrics(registry: Registry) {
  const registers = [registry];
  return {
    total: new Counter({
      name: 'freeside_inference_total',
      help: 'Inference requests by API and outcome.',
      labelNames: ['api', 'outcome'],
      registers,
    }),
    firstToken: new Histogram({
      name: 'freeside_time_to_first_token_seconds',
      help: 'Seconds from the request to the first event handed to the client, by the pool that answered.',
      labelNames: ['pool'],
      buckets: FIRST_TOKEN_BUCKETS,
      registers,
    }),
    duration: new Histogram({
      name: 'freeside_inference_duration_seconds',
      help: 'Seconds from the request to the end of its answer, of answers that ended well, by mode (stream, plain).',
      labelNames: ['mode'],
      buckets: DURATION_BUCKETS,
      registers,
    }),
    activeStreams: new Gauge({
      name: 'freeside_active_streams',
      help: 'Streams being relayed.',
      registers,
    }),
    attempts: new Counter({
      name: 'freeside_finn_attempts_total',
      help: 'Attempts to reach finn by outcome.',
      labelNames: ['outcome'],
      registers,
    }),
    breaker: new Gauge({
      name: 'freeside_finn_breaker_state',
      help: 'Breaker before finn by model pool: 0 closed, 1 half open, 2 open.',
      labelNames: ['pool'],
      registers,
    }),
    versionMismatches: new Counter({
      name: 'freeside_contract_version_mismatches_total',
      help: 'Answers of finn under another contract version than ours.',
      registers,
    }),
    ledgerRetries: new Counter({
      name: 'freeside_ledger_retries_total',
      help: 'Settlements and releases that failed at first, by operation and what became of them.',
      labelNames: ['operation', 'outcome'],
      registers,
    }),
  };
}

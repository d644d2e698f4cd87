import type { Pool } from '@arrakis/contracts';
import type { Logger } from '@arrakis/service-kit';
import { Counter, Gauge, Histogram, type Registry } from 'prom-client';
import type { BreakerState } from './finn-breaker.ts';
import type { AttemptOutcome } from './finn-caller.ts';
import type { InferenceApi } from './inference.domain.ts';

/** What happens to inferences, as metric and, where somebody must look, log line. */
export interface InferenceEvents {
  /** @param outcome `answered`, how a stream ended, or the code of the refusal */
  readonly finished: (api: InferenceApi, outcome: string) => void;
  readonly firstToken: (seconds: number) => void;
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
/** One line a minute for a finn of another version, not one a request. */
const VERSION_WARNING_PERIOD_MS = 60_000;

export function createInferenceEvents(registry: Registry, logger: Logger): InferenceEvents {
  const metrics = createMetrics(registry);
  let versionWarnedAtMs = Number.NEGATIVE_INFINITY;
  return {
    finished: (api, outcome) => metrics.total.inc({ api, outcome }),
    firstToken: (seconds) => metrics.firstToken.observe(seconds),
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
      logger.warn({ version }, 'finn speaks another contract version');
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
      help: 'Seconds from the request to the first event handed to the client.',
      buckets: FIRST_TOKEN_BUCKETS,
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

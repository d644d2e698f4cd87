import type { Logger } from '@arrakis/service-kit';
import type { Registry } from 'prom-client';
import type { Reservations } from '../reservations/reservation.domain.ts';
import { Admission, type AdmissionOptions } from './admission.ts';
import { createInferenceEvents } from './events.ts';
import { FinnBreakers, type FinnBreakerOptions } from './finn-breaker.ts';
import { FinnCaller, type CallClock } from './finn-caller.ts';
import { FinnClient } from './finn.client.ts';
import { InferenceService, type InferenceServiceOptions } from './inference.service.ts';
import { LEDGER_RETRY_DEFAULTS, LedgerRetries } from './ledger-retries.ts';
import { systemClock } from './system-clock.ts';
import { TokenCounter } from './token-count.ts';

export interface InferenceOptions {
  readonly logger: Logger;
  readonly registry: Registry;
  readonly reservations: Reservations;
  readonly agents: AdmissionOptions['agents'];
  readonly tokens: InferenceServiceOptions['tokens'];
  readonly finn: {
    readonly url: string;
    readonly connectTimeoutMs: number;
    readonly totalTimeoutMs: number;
    readonly idleTimeoutMs: number;
  };
  readonly clock?: CallClock;
  readonly breaker?: Pick<
    FinnBreakerOptions,
    'failures' | 'firstHalfOpenAfterMs' | 'halfOpenAfterMs'
  >;
  readonly notePeriodMs?: number;
}

export interface Inference {
  readonly service: InferenceService;
  /** Ends the connections to finn; call when no request is under way. */
  close(): Promise<void>;
}

const NOTE_PERIOD_MS = 2_000;
/** Service is promised back 2 s after one replica of two is lost: no pause is as long as that. */
const BREAKER = { failures: 3, firstHalfOpenAfterMs: 500, halfOpenAfterMs: 1_000 } as const;

/** The inference service with everything of its own behind it. */
export function createInference(options: InferenceOptions): Inference {
  const { logger, registry, reservations, agents, tokens, finn } = options;
  const clock = options.clock ?? systemClock;
  const events = createInferenceEvents(registry, logger);
  const client = new FinnClient({ ...finn, onVersionMismatch: events.contractVersionDiffers });
  const retries = new LedgerRetries({
    ...LEDGER_RETRY_DEFAULTS,
    sleep: (ms, signal) => clock.sleep(ms, signal),
    onGaveUp: ({ reservationId, name }) => events.ledgerGaveUp(reservationId, name),
  });
  const admission = new Admission({
    reservations,
    agents,
    retries,
    events,
    counter: new TokenCounter(),
    wallClockMs: () => Date.now(),
  });
  const breakers = new FinnBreakers({
    ...(options.breaker ?? BREAKER),
    onStateChange: events.breakerChanged,
  });
  const { totalTimeoutMs } = finn;
  const service = new InferenceService({
    admission,
    reservations,
    tokens,
    retries,
    events,
    finn: new FinnCaller({ client, breakers, clock, totalTimeoutMs, onAttempt: events.attempted }),
    notePeriodMs: options.notePeriodMs ?? NOTE_PERIOD_MS,
    monotonicMs: () => performance.now(),
  });
  return { service, close: () => client.destroy() };
}

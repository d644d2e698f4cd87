import type { InferenceRequest, Pool } from '@arrakis/contracts';
import type { BreakerOpen, FinnBreakers } from './finn-breaker.ts';
import type { FinnAttempt, FinnRequest } from './finn-attempt.ts';

/** Time, as far as retries need it; replaced in tests. */
export interface CallClock {
  nowMs(): number;
  /** Resolves after `ms`, or at once when `signal` aborts. */
  sleep(ms: number, signal: AbortSignal): Promise<void>;
  /** In [0, 1). */
  random(): number;
}

export interface FinnCallerOptions {
  readonly client: { attempt(request: FinnRequest): Promise<FinnAttempt> };
  readonly breakers: FinnBreakers;
  readonly totalTimeoutMs: number;
  readonly clock: CallClock;
  readonly onAttempt: (outcome: AttemptOutcome) => void;
}

export type AttemptOutcome = FinnAttempt['kind'] | 'breaker_open';

/** One inference under one hold, whatever number of attempts it takes. */
export interface FinnCall {
  readonly requestId: string;
  readonly pool: Pool;
  readonly body: InferenceRequest;
  /** A fresh token, with its own `jti`, for each attempt. */
  readonly sign: () => Promise<string> | string;
  readonly signal: AbortSignal;
}

export type FinnCallResult = FinnAttempt | BreakerOpen;

/** Waits before the second and the third attempt. */
const BACKOFF_MS = [1_000, 2_000] as const;
/** A wait is between three and five quarters of its nominal length. */
const JITTER = { least: 0.75, spread: 0.5 } as const;

/** Calls finn until something is certain: retries before the first byte only, within one deadline. */
export class FinnCaller {
  readonly #options: FinnCallerOptions;

  constructor(options: FinnCallerOptions) {
    this.#options = options;
  }

  /** @throws only what `sign` throws. */
  async call(call: FinnCall): Promise<FinnCallResult> {
    const { clock, totalTimeoutMs } = this.#options;
    const deadlineMs = clock.nowMs() + totalTimeoutMs;
    let result = await this.#attempt(call, deadlineMs);
    for (const nominalMs of BACKOFF_MS) {
      if (!isRetryable(result)) return result;
      const waitMs = nominalMs * (JITTER.least + JITTER.spread * clock.random());
      if (clock.nowMs() + waitMs >= deadlineMs) return result;
      await clock.sleep(waitMs, call.signal);
      if (call.signal.aborted) return { kind: 'aborted' };
      const next = await this.#attempt(call, deadlineMs);
      // The earlier attempt did reach finn and ran: its answer is lost, and nothing may run twice.
      if (next.kind === 'refused' && next.code === 'reservation_used') return result;
      // The breaker opened meanwhile, and knows better when to come back.
      result = next;
    }
    return result;
  }

  async #attempt(call: FinnCall, deadlineMs: number): Promise<FinnCallResult> {
    const { client, breakers, clock } = this.#options;
    const result = await breakers.run(call.pool, async () =>
      client.attempt({
        requestId: call.requestId,
        token: await call.sign(),
        body: call.body,
        timeoutMs: Math.max(1, deadlineMs - clock.nowMs()),
        signal: call.signal,
      }),
    );
    this.#options.onAttempt(result.kind);
    return result;
  }
}

function isRetryable(result: FinnCallResult): boolean {
  // What answers nonsense now will do so in a second, and may have run the model meanwhile.
  return result.kind === 'unavailable' && result.reason !== 'protocol_error';
}

import { POOLS, type Pool } from '@arrakis/contracts';
import {
  BrokenCircuitError,
  CircuitState,
  ConsecutiveBreaker,
  ExponentialBackoff,
  circuitBreaker,
  handleWhenResult,
  noJitterGenerator,
  type CircuitBreakerPolicy,
} from 'cockatiel';
import type { FinnAttempt } from './finn-attempt.ts';

export type BreakerState = 'closed' | 'half_open' | 'open';

export interface FinnBreakerOptions {
  /** Consecutive failures that open it. */
  readonly failures: number;
  /**
   * How long it stays open before one request may try: this long at first, then twice as long after
   * each try that failed. The connections of one lost replica all fail at once, and the other
   * replica has to be asked soon.
   */
  readonly firstHalfOpenAfterMs: number;
  /** At most that long. */
  readonly halfOpenAfterMs: number;
  readonly onStateChange: (pool: Pool, state: BreakerState) => void;
}

export interface BreakerOpen {
  readonly kind: 'breaker_open';
  readonly retryAfterSeconds: number;
}

class ClientGoneError extends Error {}

/**
 * While the first try waits for its answer, another one goes every so often: a model may take
 * seconds to begin, and finn's silence until then says nothing about finn.
 */
const NEXT_TRY_MS = 250;

const STATE_NAMES: Readonly<Record<CircuitState, BreakerState>> = {
  [CircuitState.Closed]: 'closed',
  [CircuitState.HalfOpen]: 'half_open',
  [CircuitState.Open]: 'open',
  [CircuitState.Isolated]: 'open',
};

/**
 * One breaker a model pool, so that a vendor's outage behind one pool leaves the others alone.
 * Only finn's absence counts (no connection, timeout, 5xx), and its word that it asks no model of the
 * pool any more. A refusal shows that finn lives, and so does a request that its models failed:
 * otherwise one request, tried three times, would shut out everybody else. A client that leaves shows
 * nothing.
 */
export class FinnBreakers {
  readonly #options: FinnBreakerOptions;
  readonly #breakers: Readonly<Record<Pool, PoolBreaker>>;

  constructor(options: FinnBreakerOptions) {
    this.#options = options;
    const entries = POOLS.map((pool) => [pool, this.#create(pool)] as const);
    this.#breakers = Object.fromEntries(entries) as Record<Pool, PoolBreaker>;
  }

  /** Runs the attempt, or says at once that it shouldn't be made; nothing ever queues here. */
  async run(pool: Pool, attempt: () => Promise<FinnAttempt>): Promise<FinnAttempt | BreakerOpen> {
    const breaker = this.#breakers[pool];
    if (breaker.policy.state === CircuitState.HalfOpen) return this.#tryBeside(breaker, attempt);
    try {
      return await breaker.policy.execute(async () => {
        const result = await attempt();
        if (result.kind === 'aborted') throw new ClientGoneError();
        return result;
      });
    } catch (error) {
      if (error instanceof ClientGoneError) return { kind: 'aborted' };
      if (error instanceof BrokenCircuitError) return this.#refusal(breaker);
      throw error;
    }
  }

  /** The first try decides whether the breaker closes; until then one good answer lets all through. */
  async #tryBeside(
    breaker: PoolBreaker,
    attempt: () => Promise<FinnAttempt>,
  ): Promise<FinnAttempt | BreakerOpen> {
    const nowMs = Date.now();
    const isDue = nowMs - breaker.lastTryMs >= NEXT_TRY_MS;
    if (!breaker.hasAnswered && !isDue) return this.#refusal(breaker);
    breaker.lastTryMs = nowMs;
    const result = await attempt();
    if (result.kind !== 'aborted') breaker.hasAnswered = !isAbsent(result);
    return result;
  }

  #create(pool: Pool): PoolBreaker {
    const { firstHalfOpenAfterMs, halfOpenAfterMs } = this.#options;
    const policy = circuitBreaker(
      handleWhenResult((result) => isAbsent(result as FinnAttempt)),
      {
        halfOpenAfter: new ExponentialBackoff({
          initialDelay: firstHalfOpenAfterMs,
          maxDelay: halfOpenAfterMs,
          generator: noJitterGenerator,
        }),
        breaker: new ConsecutiveBreaker(this.#options.failures),
      },
    );
    const breaker: PoolBreaker = {
      policy,
      openUntilMs: 0,
      openings: 0,
      lastTryMs: 0,
      hasAnswered: false,
    };
    policy.onHalfOpen(() => {
      breaker.lastTryMs = Date.now();
      breaker.hasAnswered = false;
    });
    policy.onBreak(() => {
      const waitMs = Math.min(halfOpenAfterMs, firstHalfOpenAfterMs * 2 ** breaker.openings);
      breaker.openUntilMs = Date.now() + waitMs;
      breaker.openings += 1;
    });
    policy.onReset(() => (breaker.openings = 0));
    policy.onStateChange((state) => this.#options.onStateChange(pool, STATE_NAMES[state]));
    return breaker;
  }

  #refusal(breaker: PoolBreaker): BreakerOpen {
    const leftMs = breaker.openUntilMs - Date.now();
    return { kind: 'breaker_open', retryAfterSeconds: Math.max(1, Math.ceil(leftMs / 1000)) };
  }
}

function isAbsent(result: FinnAttempt): boolean {
  return result.kind === 'unavailable' && result.reason !== 'model_failed';
}

interface PoolBreaker {
  readonly policy: CircuitBreakerPolicy;
  openUntilMs: number;
  /** Since it was last closed. */
  openings: number;
  /** Of those while it is half open. */
  lastTryMs: number;
  /** Whether one of them, beside the first, found finn well. */
  hasAnswered: boolean;
}

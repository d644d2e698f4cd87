import type { Provider } from '../providers/provider.ts';
import {
  abandoned,
  admits,
  admitted,
  CLOSED,
  failed,
  succeeded,
  type Breaker,
} from './breaker.domain.ts';
import { isAvailable, type TargetView } from './pool.domain.ts';

export interface TargetOptions {
  readonly name: string;
  readonly provider: Provider;
  readonly model: string;
  readonly maxConcurrency: number | undefined;
  readonly contextTokens: number | undefined;
  readonly nowMs: () => number;
  readonly onBreakerChanged: (target: string, state: Breaker['state']) => void;
}

/** A personality has at most a kilobyte. */
const MAX_RECURRING_TEXTS = 1024;

/** How a call ended, as far as it tells about the target. */
export type CallOutcome = 'succeeded' | 'failed' | 'neutral';

/** The right to make one call to a target. */
export interface Lease {
  /** The target answers: a probing breaker needn't wait for the end of a long stream to close. */
  responded(): void;
  /** The end of the call. Only the first time counts. */
  release(outcome: CallOutcome): void;
}

/** A model at a provider, with its breaker and the number of calls under way. */
export class Target implements TargetView {
  readonly name: string;
  readonly provider: Provider;
  readonly model: string;
  readonly maxConcurrency: number | undefined;
  readonly contextTokens: number | undefined;
  readonly #nowMs: () => number;
  readonly #onBreakerChanged: TargetOptions['onBreakerChanged'];
  #breaker: Breaker = CLOSED;
  #inFlight = 0;
  #answeredAtMs: number | undefined;
  readonly #recurring = new Map<string, number>();

  constructor(options: TargetOptions) {
    this.name = options.name;
    this.provider = options.provider;
    this.model = options.model;
    this.maxConcurrency = options.maxConcurrency;
    this.contextTokens = options.contextTokens;
    this.#nowMs = options.nowMs;
    this.#onBreakerChanged = options.onBreakerChanged;
  }

  get breaker(): Breaker {
    return this.#breaker;
  }

  /** Tokens of a text by the model's tokenizer, or the nearest known one. */
  countTokens(text: string): number {
    return this.provider.countTokens(this.model, text);
  }

  /** The same, for a text that comes again and again, as an agent's personality does. */
  countRecurring(text: string): number {
    const known = this.#recurring.get(text);
    if (known !== undefined) return known;
    const tokens = this.countTokens(text);
    if (this.#recurring.size >= MAX_RECURRING_TEXTS) this.#recurring.clear();
    this.#recurring.set(text, tokens);
    return tokens;
  }

  get inFlight(): number {
    return this.#inFlight;
  }

  /** When it last answered a call or a probe; `undefined` until it has for the first time. */
  get answeredAtMs(): number | undefined {
    return this.#answeredAtMs;
  }

  /** For a caller's request. `undefined` when the breaker is open or the target is full. */
  tryAcquire(): Lease | undefined {
    return isAvailable(this, this.#nowMs()) ? this.#lease(1) : undefined;
  }

  /** For a health check, which takes nobody's place. `undefined` when the breaker is open. */
  tryProbe(): Lease | undefined {
    return admits(this.#breaker, this.#nowMs()) ? this.#lease(0) : undefined;
  }

  #lease(places: number): Lease {
    const decidesHalfOpen = this.#breaker.state === 'open';
    this.#set(admitted(this.#breaker));
    this.#inFlight += places;
    let released = false;
    return {
      responded: () => {
        this.#answeredAtMs = this.#nowMs();
        if (decidesHalfOpen && this.#breaker.state === 'half_open') this.#settle('succeeded');
      },
      release: (outcome) => {
        if (released) return;
        released = true;
        this.#inFlight -= places;
        if (outcome === 'succeeded') this.#answeredAtMs = this.#nowMs();
        // A call from before the breaker opened must not decide what its one probe decides.
        if (this.#breaker.state === 'closed' || decidesHalfOpen) this.#settle(outcome);
      },
    };
  }

  #settle(outcome: CallOutcome): void {
    const now = this.#nowMs();
    if (outcome === 'succeeded') this.#set(succeeded(this.#breaker));
    else if (outcome === 'failed') this.#set(failed(this.#breaker, now));
    else this.#set(abandoned(this.#breaker, now));
  }

  #set(next: Breaker): void {
    const before = this.#breaker.state;
    this.#breaker = next;
    if (before !== next.state) this.#onBreakerChanged(this.name, next.state);
  }
}

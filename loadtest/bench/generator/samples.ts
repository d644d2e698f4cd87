import { summarise, type Summary } from '../lib/statistics.ts';
import type { CallTimes } from './call.ts';
import type { LoadResult } from './protocol.ts';

/** What calls have shown so far, from the moment that measuring began. */
export class Samples {
  readonly #latencies: number[] = [];
  readonly #firstTokens: number[] = [];
  #startedAtMs = performance.now();

  start(): void {
    this.#latencies.length = 0;
    this.#firstTokens.length = 0;
    this.#startedAtMs = performance.now();
  }

  add(startMs: number, times: CallTimes): void {
    const sinceMs = startMs + times.delayMs;
    this.#latencies.push(times.endAtMs - sinceMs);
    this.#firstTokens.push(times.firstTokenAtMs - sinceMs);
  }

  result(options: {
    readonly stream: boolean;
    readonly tokens: number;
    readonly gap?: Summary;
    readonly lateness?: Summary;
  }): LoadResult {
    const { stream, tokens, gap, lateness } = options;
    return {
      requests: this.#latencies.length,
      elapsedMs: performance.now() - this.#startedAtMs,
      latency: summarise(this.#latencies),
      ...(stream ? { firstToken: summarise(this.#firstTokens) } : {}),
      ...(gap === undefined ? {} : { gap }),
      ...(lateness === undefined ? {} : { lateness }),
      tokens,
    };
  }
}

import type { UsageEvent } from '@arrakis/contracts';
import type { MeterStart } from './usage-event.domain.ts';

export type { MeterStart } from './usage-event.domain.ts';

/** Counts one answer. Every call is synchronous and survives a `kill -9` of the process. */
export interface StreamMeter {
  /**
   * Completion tokens handed to the caller's socket so far; a smaller number than before is
   * ignored. Journaled once per event-loop turn, together with all other streams.
   */
  progress(completionTokens: number): void;
  /**
   * The end, whatever it was: journals the final count before it returns, and publishes it
   * without being awaited. Only the first end counts, this or {@link abandon}.
   */
  finish(final: {
    readonly promptTokens: number;
    readonly completionTokens: number;
    readonly latencyMs: number;
  }): void;
  /**
   * Instead of {@link finish}: nothing was delivered, the caller was told so, and the reservation
   * is free for another attempt. Journals the end; no event is published, because one would
   * settle the hold under the retry. Call it before the reservation id is freed.
   */
  abandon(): void;
}

export interface Metering {
  /**
   * Journals the start before it returns.
   *
   * @throws SpoolFullError when the spool is at its bound or the disk refuses: answer 503.
   */
  start(start: MeterStart): StreamMeter;
  /** Events journaled but not yet acknowledged by JetStream. */
  readonly pending: number;
  /** Publishes what is left, up to `deadlineMs`; what remains stays in the spool. */
  drain(deadlineMs: number): Promise<void>;
}

/** No further answer can be metered durably: refuse the request with 503. */
export class SpoolFullError extends Error {
  constructor(options?: ErrorOptions) {
    super('the usage spool cannot take another stream', options);
    this.name = 'SpoolFullError';
  }
}

/** One subject out. */
export interface UsagePublisher {
  /** Whether NATS can be reached now: for the readiness check. */
  readonly connected: boolean;
  /**
   * Resolves when JetStream has acknowledged the event, with `duplicate` when it had it already;
   * rejects when it can't be reached or refuses: publish again later, the message id makes it
   * harmless.
   *
   * @param traceparent of the trace that it belongs to, for its consumer
   */
  publish(event: UsageEvent, traceparent?: string): Promise<'acked' | 'duplicate'>;
}

import type { UsageEvent } from '@arrakis/contracts';
import { activeSpan } from '@arrakis/telemetry';
import type { Registry } from 'prom-client';
import type { Metering, MeterStart, StreamMeter } from './metering.ts';
import { createMeteringMetrics, type MeteringMetrics, type MeteringState } from './metrics.ts';
import { Spool, type SpoolEntry } from './spool.ts';
import { finalEvent } from './usage-event.domain.ts';
import { createUsagePublisher, type RunningPublisher } from './usage.publisher.ts';

/** Unacknowledged events at a time; after an outage the rest follows as they come back. */
const MAX_IN_FLIGHT = 256;
/**
 * Events wait this long for others to leave with: one write to NATS, and one wake-up of NATS and of
 * the worker, for all of them. It also keeps them out of the way of the answer.
 */
const GATHER_MS = 20;
const FIRST_RETRY_MS = 100;
const MAX_RETRY_MS = 10_000;
/** A full disk refuses every write: say so now and then, count always. */
const WRITE_ERROR_LOG_INTERVAL_MS = 10_000;

interface MeteringLog {
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

export interface MeteringOptions {
  readonly spoolDir: string;
  readonly spoolMaxBytes: number;
  readonly natsUrl: string;
  /** The name that NATS shows for this process. */
  readonly clientName: string;
  /** Copies of a stream that is made here; 1 unless said. */
  readonly streamReplicas?: number;
  readonly registry: Registry;
  readonly log: MeteringLog;
  readonly now: () => Date;
}

export interface MeteringService extends Metering {
  /** Whether NATS can be reached now: for the readiness check. */
  readonly connected: boolean;
  close(): Promise<void>;
}

/**
 * Opens the spool, publishes what a predecessor left in it, and connects to NATS in the
 * background: finn serves without it, until the spool is full.
 *
 * @throws SpoolLockedError, or the file system's error, when the spool can't be used.
 */
export function createMetering(options: MeteringOptions): MeteringService {
  return new SpooledMetering(options);
}

class SpooledMetering implements MeteringService {
  readonly #options: MeteringOptions;
  readonly #spool: Spool;
  readonly #publisher: RunningPublisher;
  readonly #metrics: MeteringMetrics;
  /** Pending events that are not under way, oldest first. */
  readonly #waiting = new Map<string, UsageEvent>();
  /** Those that failed, until the next retry: new ones needn't wait for them. */
  readonly #failed = new Map<string, UsageEvent>();
  readonly #onEmpty = new Set<() => void>();
  #inFlight = 0;
  #isClosed = false;
  #retryMs = FIRST_RETRY_MS;
  #retry: NodeJS.Timeout | undefined;
  #gathering: NodeJS.Timeout | undefined;
  #lastWriteErrorMs = -Infinity;

  constructor(options: MeteringOptions) {
    this.#options = options;
    this.#publisher = createUsagePublisher({
      url: options.natsUrl,
      name: options.clientName,
      streamReplicas: options.streamReplicas,
      log: options.log,
      onReady: () => this.#onReady(),
    });
    this.#metrics = createMeteringMetrics(options.registry, () => this.#state());
    this.#spool = new Spool({
      dir: options.spoolDir,
      maxBytes: options.spoolMaxBytes,
      now: options.now,
      onWriteError: (error) => this.#onWriteError(error),
    });
    this.#metrics.recovered.inc(this.#spool.recovered);
    for (const event of this.#spool.pendingEvents()) {
      this.#waiting.set(event.budget_reservation_id, event);
    }
    const { recovered, pending } = this.#spool;
    if (pending > 0) options.log.info({ recovered, pending }, 'usage spool recovered');
    this.#publisher.start();
  }

  get connected(): boolean {
    return this.#publisher.connected;
  }

  get pending(): number {
    return this.#spool.pending;
  }

  start(start: MeterStart): StreamMeter {
    const { traceparent } = activeSpan();
    const entry = this.#spool.begin(traceparent === undefined ? start : { ...start, traceparent });
    let isOpen = true;
    // A second end would publish another count, or one for a reservation that was given back.
    const end = (how: () => void): void => {
      if (!isOpen) return;
      isOpen = false;
      how();
    };
    return {
      progress: (completionTokens) => this.#spool.progress(entry, completionTokens),
      finish: (final) =>
        end(() => this.#finish(entry, finalEvent(start, final, this.#options.now()))),
      abandon: () => end(() => this.#spool.abandon(entry)),
    };
  }

  async drain(deadlineMs: number): Promise<void> {
    if (this.pending === 0) return;
    this.#onReady();
    const { promise, resolve } = Promise.withResolvers<undefined>();
    const done = (): void => resolve(undefined);
    const timer = setTimeout(done, deadlineMs);
    this.#onEmpty.add(done);
    await promise;
    this.#onEmpty.delete(done);
    clearTimeout(timer);
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    clearTimeout(this.#retry);
    clearTimeout(this.#gathering);
    await this.#publisher.close();
    this.#spool.close();
  }

  #finish(entry: SpoolEntry, event: UsageEvent): void {
    this.#spool.finish(entry, event);
    this.#waiting.set(event.budget_reservation_id, event);
    this.#gathering ??= setTimeout(() => this.#pump(), GATHER_MS);
  }

  #onReady(): void {
    this.#retryMs = FIRST_RETRY_MS;
    this.#retryFailed();
  }

  #retryFailed(): void {
    clearTimeout(this.#retry);
    this.#retry = undefined;
    for (const [id, event] of this.#failed) this.#waiting.set(id, event);
    this.#failed.clear();
    this.#pump();
  }

  #pump(): void {
    clearTimeout(this.#gathering);
    this.#gathering = undefined;
    if (!this.#publisher.connected) return;
    for (const [id, event] of this.#waiting) {
      if (this.#inFlight >= MAX_IN_FLIGHT) return;
      this.#waiting.delete(id);
      this.#send(event);
    }
  }

  #send(event: UsageEvent): void {
    this.#inFlight += 1;
    const traceparent = this.#spool.traceparentOf(event.budget_reservation_id);
    this.#publisher.publish(event, traceparent).then(
      (outcome) => this.#onAcked(event, outcome),
      () => this.#onFailed(event),
    );
  }

  #onAcked(event: UsageEvent, outcome: 'acked' | 'duplicate'): void {
    this.#inFlight -= 1;
    this.#metrics.published.inc({ outcome });
    this.#retryMs = FIRST_RETRY_MS;
    this.#spool.acked(event.budget_reservation_id);
    if (this.#spool.pending === 0) for (const done of this.#onEmpty) done();
    this.#pump();
  }

  #onFailed(event: UsageEvent): void {
    this.#inFlight -= 1;
    this.#metrics.published.inc({ outcome: 'failed' });
    this.#failed.set(event.budget_reservation_id, event);
    if (this.#retry !== undefined || this.#isClosed) return;
    this.#retry = setTimeout(() => this.#retryFailed(), this.#retryMs);
    this.#retryMs = Math.min(this.#retryMs * 2, MAX_RETRY_MS);
  }

  #onWriteError(error: unknown): void {
    this.#metrics.writeErrors.inc();
    const nowMs = performance.now();
    if (nowMs - this.#lastWriteErrorMs < WRITE_ERROR_LOG_INTERVAL_MS) return;
    this.#lastWriteErrorMs = nowMs;
    this.#options.log.error({ err: error }, 'usage spool write failed');
  }

  #oldestPendingSeconds(): number {
    const [oldest] = this.#spool.pendingEvents();
    if (oldest === undefined) return 0;
    return Math.max(0, (this.#options.now().getTime() - Date.parse(oldest.occurred_at)) / 1000);
  }

  #state(): MeteringState {
    const spool = this.#spool;
    return {
      pending: spool.pending,
      oldestPendingSeconds: this.#oldestPendingSeconds(),
      isConnected: this.#publisher.connected,
      spoolBytes: spool.bytes,
      spoolMaxBytes: this.#options.spoolMaxBytes,
    };
  }
}

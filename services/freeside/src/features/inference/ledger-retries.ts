/** A settlement or release that failed once. */
export interface DeferredOperation {
  readonly reservationId: string;
  readonly name: 'settle' | 'release';
  readonly run: () => Promise<unknown>;
}

export interface LedgerRetriesOptions {
  /** Operations kept; more are left to the usage event and the reconciliation job. */
  readonly capacity: number;
  readonly maxAttempts: number;
  readonly firstDelayMs: number;
  readonly maxDelayMs: number;
  readonly sleep: (ms: number, signal: AbortSignal) => Promise<void>;
  readonly onGaveUp: (operation: DeferredOperation) => void;
}

/** About eight minutes: after five, the jobs of the worker have settled what is left. */
export const LEDGER_RETRY_DEFAULTS = {
  capacity: 10_000,
  maxAttempts: 20,
  firstDelayMs: 250,
  maxDelayMs: 30_000,
} as const;

/** As many as one ledger statement takes. */
const BATCH = 256;

interface Entry {
  readonly operation: DeferredOperation;
  attempts: number;
}

/**
 * Tries failed ledger operations again, in order and in batches, until the database is back. Both
 * operations are idempotent, and another carrier may settle first: nothing here needs to be durable.
 */
export class LedgerRetries {
  readonly #options: LedgerRetriesOptions;
  #queue: Entry[] = [];
  #running: Promise<void> | undefined;
  #hurry = new AbortController();
  #isDraining = false;

  constructor(options: LedgerRetriesOptions) {
    this.#options = options;
  }

  /** Operations that wait, those being tried included. */
  get pending(): number {
    return this.#queue.length;
  }

  add(operation: DeferredOperation): void {
    if (this.#queue.length >= this.#options.capacity) {
      this.#options.onGaveUp(operation);
      return;
    }
    this.#queue.push({ operation, attempts: 0 });
    this.#running ??= this.#run();
  }

  /** Tries what is left once more without waiting, and gives up on what fails then. */
  async drain(): Promise<void> {
    this.#isDraining = true;
    this.#hurry.abort();
    await this.#running;
    this.#hurry = new AbortController();
    this.#isDraining = false;
  }

  async #run(): Promise<void> {
    let delayMs = this.#options.firstDelayMs;
    while (this.#queue.length > 0) {
      await this.#options.sleep(delayMs, this.#hurry.signal);
      const failed = await this.#tryBatch();
      delayMs = failed ? this.#longerThan(delayMs) : 0;
    }
    // Here and not in a `finally` of the caller: what is added in between would wait for ever.
    this.#running = undefined;
  }

  /** Never nothing: after a success the next failure would use up all attempts at once. */
  #longerThan(delayMs: number): number {
    const { firstDelayMs, maxDelayMs } = this.#options;
    return Math.min(Math.max(delayMs * 2, firstDelayMs), maxDelayMs);
  }

  /** Returns whether any operation failed. */
  async #tryBatch(): Promise<boolean> {
    const batch = this.#queue.slice(0, BATCH);
    const results = await Promise.allSettled(batch.map(({ operation }) => operation.run()));
    const failed = batch.filter((_entry, index) => results[index]?.status === 'rejected');
    const again = failed.filter((entry) => this.#mayTryAgain(entry));
    // Not back to the front: one operation that can't succeed must not hold up the others.
    this.#queue = [...this.#queue.slice(batch.length), ...again];
    return failed.length > 0;
  }

  #mayTryAgain(entry: Entry): boolean {
    entry.attempts += 1;
    if (entry.attempts < this.#options.maxAttempts && !this.#isDraining) return true;
    this.#options.onGaveUp(entry.operation);
    return false;
  }
}

import type { ApiKeyRecord } from './api-key.domain.ts';

/** The lookup took so long, or so many wait for one, that its answer would be of no use. */
export class KeyLookupError extends Error {
  override readonly name: string = 'KeyLookupError';
}

/** So many unknown prefixes wait for the database that no more are taken. */
export class KeyQueueFullError extends KeyLookupError {
  override readonly name = 'KeyQueueFullError';
}

/** What the database said of one prefix, and when it was asked. */
export interface KeyReading {
  readonly record: ApiKeyRecord | undefined;
  /** Milliseconds of the injected clock, before the query was sent. */
  readonly askedAtMs: number;
}

export interface KeyLoaderOptions {
  readonly find: (keyPrefixes: readonly string[]) => Promise<readonly ApiKeyRecord[]>;
  /** Monotonic milliseconds. */
  readonly nowMs: () => number;
  readonly timeoutMs?: number;
}

interface Waiter {
  readonly resolve: (reading: KeyReading) => void;
  readonly reject: (error: unknown) => void;
}

const TIMEOUT_MS = 1500;
const MAX_BATCH = 256;
const MAX_WAITING = 4096;

/**
 * Looks up prefixes in batches, one query at a time: a flood of unknown prefixes costs one
 * connection, and what arrives while a query is in flight goes with the next. Prefixes known before
 * go first, and are taken however many others wait: a flood doesn't shut out good keys.
 */
export class KeyLoader {
  readonly #options: KeyLoaderOptions;
  readonly #known = new Map<string, Waiter[]>();
  readonly #others = new Map<string, Waiter[]>();
  #inFlight = false;

  constructor(options: KeyLoaderOptions) {
    this.#options = options;
  }

  /** @throws KeyLookupError when no answer comes in time; else what the query threw. */
  load(keyPrefix: string, isKnown = false): Promise<KeyReading> {
    const waiting = isKnown ? this.#known : this.#others;
    return new Promise((resolve, reject) => {
      const waiters = waiting.get(keyPrefix);
      if (waiters !== undefined) {
        waiters.push({ resolve, reject });
      } else if (!isKnown && waiting.size >= MAX_WAITING) {
        reject(new KeyQueueFullError('too many API keys wait to be looked up'));
      } else {
        waiting.set(keyPrefix, [{ resolve, reject }]);
      }
      if (!this.#inFlight) void this.#run();
    });
  }

  async #run(): Promise<void> {
    this.#inFlight = true;
    // Callers of the same turn of the event loop share the first query too.
    await Promise.resolve();
    while (this.#known.size + this.#others.size > 0) await this.#runBatch(this.#takeBatch());
    this.#inFlight = false;
  }

  #takeBatch(): Map<string, Waiter[]> {
    const batch = new Map<string, Waiter[]>();
    for (const waiting of [this.#known, this.#others]) {
      for (const [keyPrefix, waiters] of waiting) {
        if (batch.size === MAX_BATCH) return batch;
        batch.set(keyPrefix, [...(batch.get(keyPrefix) ?? []), ...waiters]);
        waiting.delete(keyPrefix);
      }
    }
    return batch;
  }

  async #runBatch(batch: ReadonlyMap<string, readonly Waiter[]>): Promise<void> {
    const askedAtMs = this.#options.nowMs();
    try {
      const records = await this.#withinTime(this.#options.find([...batch.keys()]));
      const byPrefix = new Map(records.map((record) => [record.keyPrefix, record]));
      for (const [keyPrefix, waiters] of batch) {
        const reading = { record: byPrefix.get(keyPrefix), askedAtMs };
        for (const { resolve } of waiters) resolve(reading);
      }
    } catch (error) {
      for (const waiters of batch.values()) for (const { reject } of waiters) reject(error);
    }
  }

  async #withinTime<T>(query: Promise<T>): Promise<T> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => {
        reject(new KeyLookupError('the database took too long to look up API keys'));
      }, this.#options.timeoutMs ?? TIMEOUT_MS);
    });
    try {
      return await Promise.race([query, late]);
    } finally {
      clearTimeout(timer);
    }
  }
}

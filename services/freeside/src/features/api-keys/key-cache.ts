import type { ApiKeyRecord } from './api-key.domain.ts';
import { KeyQueueFullError, type KeyReading } from './key-loader.ts';

export interface KeyCacheOptions {
  /** @param isKnown whether the database knew the prefix when it was asked last */
  readonly load: (keyPrefix: string, isKnown: boolean) => Promise<KeyReading>;
  /** Monotonic milliseconds, the clock of the readings. */
  readonly nowMs: () => number;
  /** Called once for each lookup that failed, however many requests waited for it. */
  readonly onLoadFailed: (error: unknown) => void;
  readonly freshMs?: number;
  readonly maxAgeMs?: number;
  readonly maxKnown?: number;
  readonly maxUnknown?: number;
}

const DEFAULTS = {
  freshMs: 1000,
  maxAgeMs: 2000,
  maxKnown: 10_000,
  maxUnknown: 10_000,
} as const;
/** After a failed lookup, the database is left alone for this long. */
const RETRY_AFTER_MS = 100;

/**
 * Key records by prefix, so that a request costs no database round trip. Never older than
 * `maxAgeMs`, counted from before the query was sent: a revocation is therefore effective within
 * that time on every replica, without any message between them. From `freshMs` on a record is
 * refreshed in the background while it is still served.
 *
 * Holds what the database holds (salted hashes), never a presented secret. Unknown prefixes live
 * in a bounded map of their own, so that a flood of them displaces no good key; but they age and are
 * refreshed like the known ones, or the pauses of refusals would tell the two apart.
 */
export class KeyCache {
  readonly #options: Required<KeyCacheOptions>;
  readonly #known = new Map<string, KeyReading>();
  readonly #unknown = new Map<string, KeyReading>();
  readonly #inFlight = new Map<string, Promise<ApiKeyRecord | undefined>>();
  #lastFailure: { readonly error: unknown; readonly atMs: number } | undefined;

  constructor(options: KeyCacheOptions) {
    this.#options = { ...DEFAULTS, ...options };
  }

  /** A record of any age, for questions whose answer never changes (is this the secret?). */
  peek(keyPrefix: string): ApiKeyRecord | undefined {
    return this.#known.get(keyPrefix)?.record;
  }

  /**
   * The current record, `undefined` for an unknown prefix.
   *
   * @throws what the loader throws, when no record is young enough.
   */
  async get(keyPrefix: string): Promise<ApiKeyRecord | undefined> {
    const { freshMs, maxAgeMs } = this.#options;
    const reading = this.#known.get(keyPrefix) ?? this.#unknown.get(keyPrefix);
    const ageMs = reading === undefined ? maxAgeMs : this.#options.nowMs() - reading.askedAtMs;
    if (reading !== undefined && ageMs < maxAgeMs) {
      touch(reading.record === undefined ? this.#unknown : this.#known, keyPrefix, reading);
      if (ageMs >= freshMs) this.#refresh(keyPrefix);
      return reading.record;
    }
    return this.#load(keyPrefix);
  }

  /** Records and unknown prefixes held now. */
  get size(): { readonly known: number; readonly unknown: number } {
    return { known: this.#known.size, unknown: this.#unknown.size };
  }

  #refresh(keyPrefix: string): void {
    if (this.#inFlight.has(keyPrefix) || this.#recentFailure() !== undefined) return;
    // A failure is reported where it happens; the record is served on until it is too old.
    this.#load(keyPrefix).catch(() => undefined);
  }

  #load(keyPrefix: string): Promise<ApiKeyRecord | undefined> {
    const running = this.#inFlight.get(keyPrefix);
    if (running !== undefined) return running;
    const failure = this.#recentFailure();
    if (failure !== undefined) return Promise.reject(asError(failure.error));
    const flight = this.#read(keyPrefix).finally(() => this.#inFlight.delete(keyPrefix));
    this.#inFlight.set(keyPrefix, flight);
    return flight;
  }

  async #read(keyPrefix: string): Promise<ApiKeyRecord | undefined> {
    try {
      const reading = await this.#options.load(keyPrefix, this.#known.has(keyPrefix));
      this.#lastFailure = undefined;
      this.#keep(keyPrefix, reading);
      return reading.record;
    } catch (error) {
      // That too many strangers wait says nothing of the database.
      if (error instanceof KeyQueueFullError) throw error;
      this.#lastFailure = { error, atMs: this.#options.nowMs() };
      this.#options.onLoadFailed(error);
      throw error;
    }
  }

  #keep(keyPrefix: string, reading: KeyReading): void {
    if (reading.record === undefined) {
      this.#known.delete(keyPrefix);
      touch(this.#unknown, keyPrefix, reading);
      evictOldest(this.#unknown, this.#options.maxUnknown);
    } else {
      this.#unknown.delete(keyPrefix);
      touch(this.#known, keyPrefix, reading);
      evictOldest(this.#known, this.#options.maxKnown);
    }
  }

  #recentFailure(): { readonly error: unknown } | undefined {
    const failure = this.#lastFailure;
    if (failure === undefined || this.#options.nowMs() - failure.atMs >= RETRY_AFTER_MS) {
      return undefined;
    }
    return failure;
  }
}

/** Makes an entry the youngest: a Map iterates in the order of insertion. */
function touch<V>(map: Map<string, V>, key: string, value: V): void {
  map.delete(key);
  map.set(key, value);
}

function evictOldest(map: Map<string, unknown>, max: number): void {
  if (map.size <= max) return;
  const oldest = map.keys().next();
  if (oldest.done !== true) map.delete(oldest.value);
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error('the lookup failed', { cause: error });
}

export interface BoundedCacheOptions {
  readonly ttlMs: number;
  /** How long after that an entry still serves while a lookup fails or takes longer than `patienceMs`. */
  readonly staleMs: number;
  readonly patienceMs: number;
  /** Whether a failure of a lookup says nothing about the entry. */
  readonly isPassing: (error: unknown) => boolean;
  readonly maxEntries: number;
  readonly nowMs: () => number;
}

interface Entry<V> {
  readonly value: V;
  readonly expiresMs: number;
}

/**
 * Remembers what a lookup found, for a while, and for longer while nobody can be asked: all callers
 * of a key share one lookup, and would all fail with it. What was found missing is not kept for
 * longer. A failed lookup is not remembered. Beyond its bound the oldest entry goes.
 */
export class BoundedCache<V> {
  readonly #options: BoundedCacheOptions;
  readonly #entries = new Map<string, Entry<V>>();
  readonly #inFlight = new Map<string, Promise<V>>();

  constructor(options: BoundedCacheOptions) {
    this.#options = options;
  }

  async get(key: string, look: (key: string) => Promise<V>): Promise<V> {
    const entry = this.#entries.get(key);
    if (entry !== undefined && entry.expiresMs > this.#options.nowMs()) return entry.value;
    const lookup = this.#inFlight.get(key) ?? this.#begin(key, look);
    return entry === undefined || !this.#mayServe(entry) ? lookup : this.#or(entry.value, lookup);
  }

  #begin(key: string, look: (key: string) => Promise<V>): Promise<V> {
    const lookup = look(key)
      .then((value) => this.#remember(key, value))
      .finally(() => this.#inFlight.delete(key));
    this.#inFlight.set(key, lookup);
    return lookup;
  }

  #mayServe({ value, expiresMs }: Entry<V>): boolean {
    const { staleMs, nowMs } = this.#options;
    return value !== undefined && expiresMs + staleMs > nowMs();
  }

  /** What the lookup finds, if it does so soon; the lookup goes on in any case. */
  async #or(stale: V, lookup: Promise<V>): Promise<V> {
    const { patienceMs, isPassing } = this.#options;
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<V>((resolve) => {
      timer = setTimeout(() => resolve(stale), patienceMs);
    });
    const found = lookup.catch((error: unknown) => {
      if (isPassing(error)) return stale;
      throw error;
    });
    // One that fails after the stale entry was served is nobody's trouble.
    found.catch(() => undefined);
    return Promise.race([found, late]).finally(() => clearTimeout(timer));
  }

  #remember(key: string, value: V): V {
    this.#entries.delete(key);
    if (this.#entries.size >= this.#options.maxEntries) {
      const oldest = this.#entries.keys().next();
      if (oldest.done === false) this.#entries.delete(oldest.value);
    }
    this.#entries.set(key, { value, expiresMs: this.#options.nowMs() + this.#options.ttlMs });
    return value;
  }
}

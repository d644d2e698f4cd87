export interface BoundedCacheOptions {
  readonly ttlMs: number;
  readonly maxEntries: number;
  readonly nowMs: () => number;
}

interface Entry<V> {
  readonly value: V;
  readonly expiresMs: number;
}

/**
 * Remembers what a lookup found, for a while. Callers that ask for one key at once share one
 * lookup; a failed one is not remembered. Beyond its bound the oldest entry goes.
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
    const shared = this.#inFlight.get(key);
    if (shared !== undefined) return shared;
    const lookup = look(key)
      .then((value) => this.#remember(key, value))
      .finally(() => this.#inFlight.delete(key));
    this.#inFlight.set(key, lookup);
    return lookup;
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

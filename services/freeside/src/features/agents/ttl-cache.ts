export interface TtlCacheOptions {
  readonly ttlMs: number;
  readonly maxEntries: number;
  /** Monotonic milliseconds. */
  readonly nowMs: () => number;
}

interface Entry<V> {
  readonly value: Promise<V>;
  /** Counted from before the value was asked for. */
  readonly askedAtMs: number;
}

/**
 * Keeps what `load` returned for a while; callers that come while it is being loaded share one
 * call. A failure is never kept. When full, the entry loaded longest ago goes.
 */
export class TtlCache<V> {
  readonly #options: TtlCacheOptions;
  readonly #entries = new Map<string, Entry<V>>();

  constructor(options: TtlCacheOptions) {
    this.#options = options;
  }

  get(key: string, load: () => Promise<V>): Promise<V> {
    const nowMs = this.#options.nowMs();
    const held = this.#entries.get(key);
    if (held !== undefined && nowMs - held.askedAtMs < this.#options.ttlMs) return held.value;
    const entry: Entry<V> = { value: load(), askedAtMs: nowMs };
    this.#entries.delete(key);
    this.#entries.set(key, entry);
    this.#evict();
    entry.value.catch(() => {
      if (this.#entries.get(key) === entry) this.#entries.delete(key);
    });
    return entry.value;
  }

  get size(): number {
    return this.#entries.size;
  }

  #evict(): void {
    if (this.#entries.size <= this.#options.maxEntries) return;
    const oldest = this.#entries.keys().next();
    if (oldest.done !== true) this.#entries.delete(oldest.value);
  }
}

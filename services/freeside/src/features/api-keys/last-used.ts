/** When each key was last used, for one flush. */
export type LastUses = readonly { readonly keyId: string; readonly usedAt: Date }[];

export interface LastUsedOptions {
  readonly write: (uses: LastUses) => Promise<void>;
  /** Milliseconds since the epoch. */
  readonly wallClockMs: () => number;
  readonly onFailed: (error: unknown) => void;
  readonly intervalMs?: number;
}

const INTERVAL_MS = 5000;
/** Keys noted between two flushes; further ones are forgotten, the column is best effort. */
const MAX_KEYS = 50_000;

/** Collects the last use of each key and writes them together every few seconds. */
export class LastUsedWriter {
  readonly #options: LastUsedOptions;
  readonly #timer: NodeJS.Timeout;
  #uses = new Map<string, number>();
  #flushing: Promise<void> | undefined;

  constructor(options: LastUsedOptions) {
    this.#options = options;
    this.#timer = setInterval(() => void this.flush(), options.intervalMs ?? INTERVAL_MS);
    this.#timer.unref();
  }

  note(keyId: string): void {
    if (this.#uses.size >= MAX_KEYS && !this.#uses.has(keyId)) return;
    this.#uses.set(keyId, this.#options.wallClockMs());
  }

  /** Writes what was noted so far. Never rejects: a failed flush is reported and tried again. */
  async flush(): Promise<void> {
    await this.#flushing;
    if (this.#uses.size === 0) return;
    this.#flushing = this.#write();
    await this.#flushing;
  }

  async #write(): Promise<void> {
    const uses = this.#uses;
    this.#uses = new Map();
    try {
      await this.#options.write(
        Array.from(uses, ([keyId, atMs]) => ({ keyId, usedAt: new Date(atMs) })),
      );
    } catch (error) {
      for (const [keyId, atMs] of uses) if (!this.#uses.has(keyId)) this.#uses.set(keyId, atMs);
      this.#options.onFailed(error);
    } finally {
      this.#flushing = undefined;
    }
  }

  /** Stops the timer and writes once more. */
  async close(): Promise<void> {
    clearInterval(this.#timer);
    await this.flush();
  }
}

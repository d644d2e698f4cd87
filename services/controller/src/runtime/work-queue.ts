import { backoffMs, type BackoffOptions } from './backoff.domain.ts';

export interface WorkQueueOptions {
  /** Handles one key. A rejection puts it back with backoff; a number of ms, at that time. */
  readonly work: (key: string) => Promise<number | undefined>;
  /** Keys handled at once, each by one worker. */
  readonly parallelism: number;
  readonly backoff?: BackoffOptions;
  readonly onError: (key: string, error: unknown, failures: number) => void;
  readonly observe?: {
    readonly waitedMs: (ms: number) => void;
    readonly workedMs: (ms: number, outcome: 'done' | 'failed') => void;
    readonly retried: () => void;
  };
  readonly random?: () => number;
}

const BACKOFF: BackoffOptions = { firstMs: 500, maxMs: 60_000 };

/**
 * Keys to be looked at. One that waits is not added twice; one that is being worked on is looked
 * at once more afterwards, by nobody else meanwhile. Keys, not events: whoever works on a key reads
 * the world as it is then.
 */
export class WorkQueue {
  readonly #options: WorkQueueOptions;
  /** Waiting keys, oldest first, and since when. */
  readonly #waiting = new Map<string, number>();
  readonly #working = new Set<string>();
  readonly #failures = new Map<string, number>();
  readonly #later = new Map<string, { readonly timer: NodeJS.Timeout; readonly at: number }>();
  #isOpen = true;
  #onIdle: (() => void) | undefined;

  constructor(options: WorkQueueOptions) {
    this.#options = options;
  }

  /** Keys that wait, without those whose time has not come. */
  get depth(): number {
    return this.#waiting.size;
  }

  get working(): number {
    return this.#working.size;
  }

  get delayed(): number {
    return this.#later.size;
  }

  add(key: string): void {
    if (!this.#isOpen) return;
    this.#cancelLater(key);
    if (!this.#waiting.has(key)) this.#waiting.set(key, performance.now());
    this.#pump();
  }

  /** The earliest of several times stands. */
  addAfter(key: string, ms: number): void {
    if (!this.#isOpen) return;
    const at = performance.now() + ms;
    const known = this.#later.get(key);
    if (known !== undefined && known.at <= at) return;
    this.#cancelLater(key);
    const timer = setTimeout(() => this.add(key), ms);
    timer.unref();
    this.#later.set(key, { timer, at });
  }

  /** The object is gone: neither its failures nor its appointments matter any more. */
  forget(key: string): void {
    this.#cancelLater(key);
    this.#failures.delete(key);
  }

  /** Takes nothing more in and resolves when what is under way has ended. */
  async close(): Promise<void> {
    this.#isOpen = false;
    this.#waiting.clear();
    for (const key of [...this.#later.keys()]) this.#cancelLater(key);
    if (this.#working.size === 0) return;
    await new Promise<void>((resolve) => {
      this.#onIdle = resolve;
    });
  }

  #cancelLater(key: string): void {
    clearTimeout(this.#later.get(key)?.timer);
    this.#later.delete(key);
  }

  #pump(): void {
    for (const [key, since] of this.#waiting) {
      if (this.#working.size >= this.#options.parallelism) return;
      if (this.#working.has(key)) continue;
      this.#waiting.delete(key);
      this.#options.observe?.waitedMs(performance.now() - since);
      this.#working.add(key);
      void this.#run(key);
    }
  }

  async #run(key: string): Promise<void> {
    const startedAt = performance.now();
    try {
      const againMs = await this.#options.work(key);
      this.#options.observe?.workedMs(performance.now() - startedAt, 'done');
      this.#failures.delete(key);
      if (againMs !== undefined) this.addAfter(key, againMs);
    } catch (error) {
      this.#options.observe?.workedMs(performance.now() - startedAt, 'failed');
      this.#retry(key, error);
    } finally {
      this.#working.delete(key);
      if (this.#working.size === 0) this.#onIdle?.();
      this.#pump();
    }
  }

  #retry(key: string, error: unknown): void {
    const failures = (this.#failures.get(key) ?? 0) + 1;
    this.#failures.set(key, failures);
    this.#options.onError(key, error, failures);
    this.#options.observe?.retried();
    const random = this.#options.random ?? Math.random;
    this.addAfter(key, backoffMs(failures, random(), this.#options.backoff ?? BACKOFF));
  }
}

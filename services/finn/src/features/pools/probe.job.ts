import { nextProbeMs, PROBE } from './pool.domain.ts';
import type { Target } from './target.ts';

/** Unless the provider knows better. */
const PROBE_TIMEOUT_MS = 5_000;

export interface ProbeOptions {
  readonly nowMs: () => number;
  readonly random: () => number;
  readonly onFailed: (target: string, error: unknown) => void;
}

/**
 * Asks every target from time to time whether it answers, so that a dead one is known before a
 * caller meets it, and a mended one is used again. A probe counts like a call; a target that has
 * just answered one needs none.
 */
export class ProbeJob {
  readonly #options: ProbeOptions;
  readonly #stopped = new AbortController();
  readonly #timers = new Map<Target, NodeJS.Timeout>();

  constructor(options: ProbeOptions) {
    this.#options = options;
  }

  start(targets: readonly Target[]): void {
    for (const target of targets) void this.#probe(target);
  }

  stop(): void {
    this.#stopped.abort();
    for (const timer of this.#timers.values()) clearTimeout(timer);
    this.#timers.clear();
  }

  async #probe(target: Target): Promise<void> {
    const failed = await this.#ask(target);
    if (this.#stopped.signal.aborted) return;
    const { nowMs, random } = this.#options;
    const delayMs = nextProbeMs(target.breaker, failed, nowMs(), random());
    this.#timers.set(target, setTimeout(() => void this.#probe(target), delayMs).unref());
  }

  /** Whether the target was asked and failed. */
  async #ask(target: Target): Promise<boolean> {
    const { answeredAtMs } = target;
    const sinceMs = this.#options.nowMs() - (answeredAtMs ?? Number.NEGATIVE_INFINITY);
    if (target.breaker.state === 'closed' && sinceMs < PROBE.intervalMs / 2) return false;
    const lease = target.tryProbe();
    if (lease === undefined) return false;
    try {
      const { provider, model } = target;
      const timeout = AbortSignal.timeout(provider.probeTimeoutMs ?? PROBE_TIMEOUT_MS);
      await provider.probe(model, AbortSignal.any([timeout, this.#stopped.signal]));
      lease.release('succeeded');
      return false;
    } catch (error) {
      if (this.#stopped.signal.aborted) return false;
      lease.release('failed');
      this.#options.onFailed(target.name, error);
      return true;
    }
  }
}

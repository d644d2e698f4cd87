import type { Pool, Tier } from '@arrakis/contracts';
import { choices, isAvailable, retryAfterMs, type Choice } from './pool.domain.ts';
import type { Target } from './target.ts';

/**
 * For how long a target that has never answered keeps finn from being ready: a local model loads
 * for seconds. After that the breakers decide alone, because a vendor may answer everything but
 * probes.
 */
const PROOF_PERIOD_MS = 60_000;

export type TargetsByPool = Readonly<Record<Pool, readonly Target[]>>;

/** The pools of this process and what is known of their targets' health. */
export class PoolService {
  readonly #targets: TargetsByPool;
  readonly #nowMs: () => number;
  readonly #startedAtMs: number;

  constructor(targets: TargetsByPool, nowMs: () => number) {
    this.#targets = targets;
    this.#nowMs = nowMs;
    this.#startedAtMs = nowMs();
  }

  /** Each target once, whatever number of pools it serves. */
  get targets(): readonly Target[] {
    return [...new Set(Object.values(this.#targets).flat())];
  }

  /** Whom to try, in order, for a request priced at `pool`. Never empty; some may be unavailable. */
  choices(tier: Tier, pool: Pool): readonly Choice<Target>[] {
    return choices(this.#targets, tier, pool);
  }

  hasAvailable(candidates: readonly Choice<Target>[]): boolean {
    const now = this.#nowMs();
    return candidates.some(({ target }) => isAvailable(target, now));
  }

  /** Seconds for `Retry-After`, when none of the candidates is available. */
  retryAfterSeconds(candidates: readonly Choice<Target>[]): number {
    const waitMs = retryAfterMs(
      candidates.map(({ target }) => target),
      this.#nowMs(),
    );
    return Math.ceil(waitMs / 1000);
  }

  /** For readiness. @throws when no target at all may be called, or none has answered yet */
  checkReady(): void {
    const now = this.#nowMs();
    const available = this.targets.filter((target) => isAvailable(target, now));
    if (available.length === 0) throw new Error('no pool target is available');
    const isProven = available.some(({ answeredAtMs }) => answeredAtMs !== undefined);
    if (!isProven && now - this.#startedAtMs < PROOF_PERIOD_MS) {
      throw new Error('no pool target has answered yet');
    }
  }
}

import type { Pool, Tier } from '@arrakis/contracts';
import { choices, isAvailable, retryAfterMs, type Choice } from './pool.domain.ts';
import type { Target } from './target.ts';

export type TargetsByPool = Readonly<Record<Pool, readonly Target[]>>;

/** The pools of this process and what is known of their targets' health. */
export class PoolService {
  readonly #targets: TargetsByPool;
  readonly #nowMs: () => number;

  constructor(targets: TargetsByPool, nowMs: () => number) {
    this.#targets = targets;
    this.#nowMs = nowMs;
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

  /** For readiness. @throws when no target at all may be called */
  checkReady(): void {
    const now = this.#nowMs();
    if (!this.targets.some((target) => isAvailable(target, now))) {
      throw new Error('no pool target is available');
    }
  }
}

import { fallbackPools, type Pool, type Tier } from '@arrakis/contracts';
import { admits, type Breaker } from './breaker.domain.ts';

/** What the choice between targets looks at. */
export interface TargetView {
  readonly name: string;
  readonly breaker: Breaker;
  readonly inFlight: number;
  readonly maxConcurrency: number | undefined;
}

export interface Choice<T> {
  readonly pool: Pool;
  readonly target: T;
}

/**
 * Every target that may serve a request priced at `pool`, in the order to try: the pool's own,
 * then those of the cheaper pools that the tier may use. A target that serves several pools is
 * tried once.
 */
export function choices<T extends TargetView>(
  targets: Readonly<Record<Pool, readonly T[]>>,
  tier: Tier,
  pool: Pool,
): readonly Choice<T>[] {
  const seen = new Set<string>();
  return fallbackPools(tier, pool)
    .flatMap((candidate) => targets[candidate].map((target) => ({ pool: candidate, target })))
    .filter(({ target }) => !seen.has(target.name) && seen.add(target.name));
}

export function isAvailable(target: TargetView, nowMs: number): boolean {
  return admits(target.breaker, nowMs) && !isFull(target);
}

function isFull(target: TargetView): boolean {
  return target.maxConcurrency !== undefined && target.inFlight >= target.maxConcurrency;
}

const BUSY_RETRY_MS = 1_000;

/** When one of the targets, of which none is available now, may be: milliseconds, at least 1,000. */
export function retryAfterMs(targets: readonly TargetView[], nowMs: number): number {
  const waits = targets.map(({ breaker }) =>
    breaker.state === 'open' ? breaker.untilMs - nowMs : BUSY_RETRY_MS,
  );
  return Math.max(BUSY_RETRY_MS, Math.min(...waits));
}

/** Whether the request fits a target's window; unknown windows are taken to be large enough. */
export function fitsContext(
  contextTokens: number | undefined,
  promptTokens: number,
  maxTokens: number,
): boolean {
  return contextTokens === undefined || promptTokens + maxTokens <= contextTokens;
}

export const PROBE = { intervalMs: 30_000, afterFailureMs: 1_000, jitter: 0.2 } as const;

/**
 * Until the next probe of a target. One that failed is asked again soon, so that its breaker opens
 * within seconds. `random` is in [0, 1): the probes of many replicas spread out.
 */
export function nextProbeMs(
  breaker: Breaker,
  justFailed: boolean,
  nowMs: number,
  random: number,
): number {
  const spread = 1 + PROBE.jitter * (2 * random - 1);
  if (breaker.state === 'open') return Math.max(breaker.untilMs - nowMs, 0) + random * 1_000;
  return (justFailed ? PROBE.afterFailureMs : PROBE.intervalMs) * spread;
}

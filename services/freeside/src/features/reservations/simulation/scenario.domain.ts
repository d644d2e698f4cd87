import type { Random } from './random.domain.ts';

/** How much goes wrong in one history; probabilities are for one occasion each. */
export interface Scenario {
  readonly startMs: number;
  /** From then on nothing new goes wrong, and what is down comes back. */
  readonly healedAtMs: number;
  readonly requests: number;
  readonly spreadMs: number;
  /** After any one step of a process. */
  readonly death: number;
  readonly freeze: number;
  /** The process comes back only after minutes, or days. */
  readonly longAbsence: number;
  readonly statementFault: number;
  readonly doubled: number;
  readonly slowMessage: number;
  readonly lostMessage: number;
  readonly clientLeaves: number;
  readonly diskLoss: number;
  readonly outages: number;
}

const DAY_MS = 86_400_000;
/** Some day on which the price table is in effect. */
const FIRST_DAY = 22_000;

export function drawScenario(random: Random): Scenario {
  const isCalm = random.chance(0.1);
  const often = (...levels: number[]): number => (isCalm ? 0 : random.pick(levels));
  const midnight = (FIRST_DAY + random.between(0, 300)) * DAY_MS;
  const startMs =
    midnight + (random.chance(0.2) ? -random.between(1, 90_000) : random.between(0, DAY_MS - 1));
  return {
    startMs,
    healedAtMs: startMs + random.pick([30_000, 120_000, 420_000]),
    requests: random.between(1, 5),
    spreadMs: random.pick([0, 50, 5_000, 90_000]),
    death: often(0, 0, 0.01, 0.03, 0.1),
    freeze: often(0, 0, 0, 0.01, 0.03),
    longAbsence: often(0, 0.1, 0.3),
    statementFault: often(0, 0, 0.05, 0.2),
    doubled: often(0, 0.1, 0.4),
    slowMessage: often(0.02, 0.1, 0.3),
    lostMessage: often(0, 0, 0.05, 0.2),
    clientLeaves: often(0, 0.1, 0.4),
    diskLoss: often(0, 0, 0.2),
    outages: often(0, 0, 1, 2, 4),
  };
}

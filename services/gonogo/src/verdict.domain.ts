import type { Outcome } from './gate.domain.ts';

export type Verdict = 'go' | 'no-go' | 'inconclusive';

/** Only if all passed it is a go; one that failed decides over those that found nothing out. */
export function verdictOf(outcomes: readonly Outcome[]): Verdict {
  if (outcomes.includes('fail')) return 'no-go';
  // Nothing asked is nothing known.
  if (outcomes.length === 0 || outcomes.includes('inconclusive')) return 'inconclusive';
  return 'go';
}

/** What the process exits with. Whoever only looks for 0 treats inconclusive as no-go. */
export const EXIT_CODES: Readonly<Record<Verdict, number>> = {
  go: 0,
  'no-go': 1,
  inconclusive: 2,
};

import type { Verdict } from '../types.ts';

export type Broken = NonNullable<Verdict['broken']>;

/** How many violations a verdict tells of; the first one's history is in the report anyway. */
const TOLD = 4;

/** What was found about one invariant. */
export class Findings {
  readonly #invariant: string;
  readonly #violations: string[] = [];
  #broken: Broken | undefined;

  constructor(invariant: string) {
    this.#invariant = invariant;
  }

  violated(what: string, broken?: Broken): void {
    this.#violations.push(what);
    this.#broken ??= broken;
  }

  /** @param figures what was looked at, for a verdict that holds */
  verdict(figures: string): Verdict {
    const count = this.#violations.length;
    if (count === 0) return { invariant: this.#invariant, ok: true, detail: figures };
    const told = this.#violations.slice(0, TOLD).join('; ');
    const detail = count > TOLD ? `${told}; and ${count - TOLD} more` : told;
    return { invariant: this.#invariant, ok: false, detail, broken: this.#broken };
  }
}

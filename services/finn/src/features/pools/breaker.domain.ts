/** Consecutive failures that open a breaker, and for how long. */
export const BREAKER = { failuresToOpen: 3, openMs: 30_000 } as const;

/**
 * `closed → open → half_open → closed | open`. Half open admits one call; what becomes of it
 * decides. Calls that began before the breaker opened may still end afterwards: they change nothing.
 */
export type Breaker =
  | { readonly state: 'closed'; readonly failures: number }
  | { readonly state: 'open'; readonly untilMs: number }
  | { readonly state: 'half_open' };

export const CLOSED: Breaker = { state: 'closed', failures: 0 };

/** Whether a call would be let through now. */
export function admits(breaker: Breaker, nowMs: number): boolean {
  return breaker.state === 'closed' || (breaker.state === 'open' && nowMs >= breaker.untilMs);
}

/** After a call was let through. */
export function admitted(breaker: Breaker): Breaker {
  return breaker.state === 'open' ? { state: 'half_open' } : breaker;
}

export function succeeded(breaker: Breaker): Breaker {
  return breaker.state === 'open' ? breaker : CLOSED;
}

export function failed(breaker: Breaker, nowMs: number): Breaker {
  switch (breaker.state) {
    case 'open':
      return breaker;
    case 'half_open':
      return { state: 'open', untilMs: nowMs + BREAKER.openMs };
    case 'closed': {
      const failures = breaker.failures + 1;
      return failures < BREAKER.failuresToOpen
        ? { state: 'closed', failures }
        : { state: 'open', untilMs: nowMs + BREAKER.openMs };
    }
  }
}

/** The call ended without telling anything about the target: the next one may try. */
export function abandoned(breaker: Breaker, nowMs: number): Breaker {
  return breaker.state === 'half_open' ? { state: 'open', untilMs: nowMs } : breaker;
}

import type { Pool } from '@arrakis/contracts';
import type { TokenCount } from '@arrakis/money';
import type { HoldRequest } from '../reservation.domain.ts';
import type { SettlementInput } from '../settlement.domain.ts';

/**
 * What really happened to a request, as only somebody outside can know it. The end of a history
 * compares the books with this.
 */
export interface Fact {
  readonly request: HoldRequest;
  readonly isStream: boolean;
  /** Whether the ledger ever accepted the hold, whatever its asker was told. */
  isHeld: boolean;
  /** Completion tokens given to the client, by the running count. */
  relayedTokens: number;
  /** The count of the answer that the client has from beginning to end. */
  whole: TokenCount | undefined;
  readonly runs: Run[];
  readonly verdict: {
    input: SettlementInput | undefined;
    isApplied: boolean;
    lostBy: Loss | undefined;
  };
  /** Counts and releases that the ledger has seen, each once, in that order. */
  readonly applied: Applied[];
}

/** What took a report away before the ledger had it. */
export type Loss =
  'death of the api' | 'retries exhausted' | 'loss of the store' | 'loss of the journal';

/** One run of a model under a reservation. */
export interface Run {
  readonly finn: string;
  readonly pool: Pool;
  readonly jti: string;
  /** What was written to the caller's socket: nothing, a part, or all of it. */
  handed: TokenCount | undefined;
  /** Whether the journal holds its start, and nothing says that it was abandoned. */
  isJournaled: boolean;
  report: Report | undefined;
}

/** The usage event of a run. */
export interface Report {
  readonly fact: Fact;
  readonly input: SettlementInput;
  isApplied: boolean;
  lostBy: Loss | undefined;
}

export interface Applied {
  readonly input: SettlementInput;
  /** The 72 hours in which a count may be corrected were over. */
  readonly isTooLate: boolean;
}

export function newFact(request: HoldRequest, isStream: boolean): Fact {
  return {
    request,
    isStream,
    isHeld: false,
    relayedTokens: 0,
    whole: undefined,
    runs: [],
    verdict: { input: undefined, isApplied: false, lostBy: undefined },
    applied: [],
  };
}

import type { Summary } from '../lib/statistics.ts';

export interface Account {
  readonly communityId: string;
  readonly apiKeyId: string;
}

interface Common {
  /** As freeside's own role. */
  readonly databaseUrl: string;
  readonly account: Account;
  readonly warmUpMs: number;
  readonly durationMs: number;
}

export type LedgerLoad =
  | (Common & { readonly kind: 'closed'; readonly callers: number })
  | (Common & { readonly kind: 'open'; readonly perSecond: number });

export interface LedgerResult {
  readonly pairs: number;
  /** Until the last settlement. */
  readonly elapsedMs: number;
  /** From the intended start until the hold is durable, which is what a caller waits for. */
  readonly hold: Summary;
  /** From the intended start until the settlement is durable. */
  readonly pair: Summary;
}

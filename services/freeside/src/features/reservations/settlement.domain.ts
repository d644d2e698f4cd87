import type { Pool } from '@arrakis/contracts';
import type { Micro } from '@arrakis/money';

/** How a reservation moves on; see migration 067 for what each action and outcome means. */
export type SettlementAction = 'settle' | 'release' | 'orphan' | 'reconcile' | 'progress';

export type SettlementOutcome =
  | 'finalized'
  | 'released'
  | 'orphan_released'
  | 'streaming'
  | 'corrected'
  | 'late_captured'
  | 'unchanged'
  | 'unknown';

export interface SettlementInput {
  readonly reservationId: string;
  readonly action: SettlementAction;
  readonly carrier?: string | undefined;
  readonly promptTokens?: number;
  readonly completionTokens?: number;
  readonly poolUsed?: Pool | undefined;
  readonly model?: string | undefined;
  readonly personalityId?: string | undefined;
  readonly latencyMs?: number | undefined;
}

export interface SettlementResult {
  readonly outcome: SettlementOutcome;
  readonly chargeMicro: Micro;
  readonly writtenOffMicro: Micro;
}

export interface HoldVerdict {
  readonly outcome:
    | 'accepted'
    | 'invalid_api_key'
    | 'rate_limited'
    | 'token_limit_reached'
    | 'insufficient_credits';
  readonly requiredMicro: Micro;
  readonly availableMicro: Micro | undefined;
  readonly priceVersion: number;
  readonly promptPriceMicro: Micro;
  readonly completionPriceMicro: Micro;
  readonly limits:
    | {
        readonly requestsPerMinute: number;
        readonly requestsUsed: number;
        readonly requestsResetAt: number;
        readonly tokensPerDay: number;
        readonly tokensUsed: number;
        readonly tokensResetAt: number;
      }
    | undefined;
}

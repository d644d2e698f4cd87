import { completionTokensWithin } from '@arrakis/money';
import type { HoldDecision, HoldRequest, LimitState } from './reservation.domain.ts';
import type { HoldVerdict } from './settlement.domain.ts';

/** Turns the database's verdict into what the edge tells the client: what is left, what would fit. */
export function toHoldDecision(request: HoldRequest, row: HoldVerdict): HoldDecision {
  const limits = toLimitState(row);
  if (row.outcome === 'accepted') {
    if (limits === undefined) throw new Error('an accepted hold has no limits');
    return {
      accepted: true,
      holdMicro: row.requiredMicro,
      priceVersion: row.priceVersion,
      limits,
    };
  }
  return {
    accepted: false,
    code: row.outcome,
    requiredMicro: row.requiredMicro,
    availableMicro: row.availableMicro ?? 0n,
    maxTokensThatFit: maxTokensThatFit(request, row, limits),
    limits,
  };
}

function toLimitState({ limits }: HoldVerdict): LimitState | undefined {
  if (limits === undefined) return undefined;
  return {
    requestsPerMinute: limits.requestsPerMinute,
    requestsRemaining: Math.max(0, limits.requestsPerMinute - limits.requestsUsed),
    requestsResetAt: limits.requestsResetAt,
    tokensPerDay: limits.tokensPerDay,
    tokensRemaining: Math.max(0, limits.tokensPerDay - limits.tokensUsed),
    tokensResetAt: limits.tokensResetAt,
  };
}

function maxTokensThatFit(
  request: HoldRequest,
  row: HoldVerdict,
  limits: LimitState | undefined,
): number {
  if (limits === undefined || row.outcome === 'rate_limited') return 0;
  const price = {
    promptPriceMicro: row.promptPriceMicro,
    completionPriceMicro: row.completionPriceMicro,
  };
  const affordable = completionTokensWithin(price, request.promptTokens, row.availableMicro ?? 0n);
  const withinDay = limits.tokensRemaining - request.promptTokens;
  return Math.max(0, Math.min(affordable, withinDay, request.maxTokens));
}

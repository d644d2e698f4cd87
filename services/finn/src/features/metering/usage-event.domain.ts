import { CONTRACT_VERSION, type Pool, type UsageEvent } from '@arrakis/contracts';

/** What is known before the first token. Token counts are those of the whole prompt. */
export interface MeterStart {
  readonly reservationId: string;
  readonly communityId: string;
  readonly nftId: string;
  readonly model: string;
  readonly poolUsed: Pool;
  readonly personalityId: string;
  readonly promptTokens: number;
  /** Where its trace stands (W3C), if there is one: the event may leave from another process. */
  readonly traceparent?: string;
}

export interface UsageCount {
  readonly promptTokens: number;
  readonly completionTokens: number;
  readonly latencyMs: number;
}

/** The event of a stream whose end was seen. */
export function finalEvent(start: MeterStart, count: UsageCount, now: Date): UsageEvent {
  return event(start, count, now, 'final');
}

/**
 * The event of a stream whose process died: the largest count that the journal proves. Where it
 * proves no completion token, nothing was delivered, and the prompt isn't counted either.
 */
export function recoveredEvent(start: MeterStart, completionTokens: number, now: Date): UsageEvent {
  const promptTokens = completionTokens === 0 ? 0 : start.promptTokens;
  return event(start, { promptTokens, completionTokens, latencyMs: 0 }, now, 'recovered');
}

function event(
  start: MeterStart,
  count: UsageCount,
  now: Date,
  finality: UsageEvent['finality'],
): UsageEvent {
  return {
    contract_version: CONTRACT_VERSION,
    budget_reservation_id: start.reservationId,
    community_id: start.communityId,
    nft_id: start.nftId,
    tokens_used: count.promptTokens + count.completionTokens,
    prompt_tokens: count.promptTokens,
    completion_tokens: count.completionTokens,
    model: start.model,
    pool_used: start.poolUsed,
    personality_id: start.personalityId,
    latency_ms: Math.max(0, Math.round(count.latencyMs)),
    finality,
    occurred_at: now.toISOString(),
  };
}

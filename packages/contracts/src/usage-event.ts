import { Type, type Static } from 'typebox';
import { NFT_ID_PATTERN, RESERVATION_ID_PATTERN } from './s2s.ts';
import { Pool } from './tiers.ts';

/** JetStream: one WorkQueue stream; the message id is the reservation id. */
export const USAGE_STREAM = {
  name: 'INFERENCE_USAGE',
  subject: 'inference.usage.finalized',
  /** Events that could not be processed after {@link USAGE_STREAM.maxDeliver} tries rest here. */
  parkedName: 'INFERENCE_USAGE_PARKED',
  parkedSubject: 'inference.usage.parked',
  consumer: 'freeside-settlement',
  maxAgeSeconds: 72 * 60 * 60,
  maxDeliver: 8,
} as const;

/** How finn came to the count: it saw the end, or found a cut stream in its journal. */
export const UsageFinality = Type.Union([Type.Literal('final'), Type.Literal('recovered')]);

/**
 * What one inference consumed. `tokens_used` = prompt + completion tokens, where completion
 * tokens are those delivered to the caller; a plain answer that could not be sent counts 0.
 */
export const UsageEvent = Type.Object(
  {
    contract_version: Type.String(),
    budget_reservation_id: Type.String({ pattern: RESERVATION_ID_PATTERN }),
    community_id: Type.String({ pattern: RESERVATION_ID_PATTERN }),
    nft_id: Type.String({ pattern: NFT_ID_PATTERN }),
    tokens_used: Type.Integer({ minimum: 0 }),
    prompt_tokens: Type.Integer({ minimum: 0 }),
    completion_tokens: Type.Integer({ minimum: 0 }),
    model: Type.String({ maxLength: 200 }),
    pool_used: Pool,
    personality_id: Type.String({ maxLength: 64 }),
    latency_ms: Type.Integer({ minimum: 0 }),
    finality: UsageFinality,
    /** RFC 3339, finn's clock. */
    occurred_at: Type.String({ maxLength: 40 }),
  },
  { additionalProperties: false },
);
export type UsageEvent = Static<typeof UsageEvent>;

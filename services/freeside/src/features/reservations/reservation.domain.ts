import type { Pool } from '@arrakis/contracts';
import type { Micro } from '@arrakis/money';

/**
 * A reservation holds the worst-case price of one inference from before it is dispatched until
 * one of three terminal states. Its id is the request id.
 */
export const RESERVATION_STATUSES = [
  'reserved',
  'streaming',
  'finalized',
  'released',
  'orphan_released',
] as const;
export type ReservationStatus = (typeof RESERVATION_STATUSES)[number];

/** Who reported the count that settled a reservation. */
export const CARRIERS = [
  'done_event',
  'response_header',
  'usage_event',
  'journal',
  'reconciliation',
] as const;
export type Carrier = (typeof CARRIERS)[number];

/** What the money and limits decision needs to know; token counts are worst cases. */
export interface HoldRequest {
  readonly reservationId: string;
  readonly communityId: string;
  readonly apiKeyId: string;
  readonly nftId: string;
  readonly pool: Pool;
  /** Sound upper bound of the prompt's tokens, everything that finn adds included. */
  readonly promptTokens: number;
  readonly maxTokens: number;
}

/** State of the API key's two limits after a decision. */
export interface LimitState {
  readonly requestsPerMinute: number;
  readonly requestsRemaining: number;
  /** Milliseconds since the epoch, database clock. */
  readonly requestsResetAt: number;
  readonly tokensPerDay: number;
  readonly tokensRemaining: number;
  readonly tokensResetAt: number;
}

export interface HoldAccepted {
  readonly accepted: true;
  readonly holdMicro: Micro;
  readonly priceVersion: number;
  readonly limits: LimitState;
}

export type HoldRefusalCode =
  'insufficient_credits' | 'rate_limited' | 'token_limit_reached' | 'invalid_api_key';

export interface HoldRefused {
  readonly accepted: false;
  readonly code: HoldRefusalCode;
  readonly requiredMicro: Micro;
  readonly availableMicro: Micro;
  /** The largest `max_tokens` that money and the daily limit would accept now; 0 for none. */
  readonly maxTokensThatFit: number;
  /** Absent when the key is unknown or revoked. */
  readonly limits: LimitState | undefined;
}

export type HoldDecision = HoldAccepted | HoldRefused;

/** A final count of one inference; tokens are those delivered. */
export interface Settlement {
  readonly reservationId: string;
  readonly carrier: Carrier;
  readonly promptTokens: number;
  readonly completionTokens: number;
  readonly poolUsed: Pool;
  readonly model: string | undefined;
  readonly personalityId: string | undefined;
  readonly latencyMs: number | undefined;
}

/** What a relay has passed on so far; kept for the case that no final count ever arrives. */
export interface RelayProgress {
  readonly reservationId: string;
  readonly promptTokens: number;
  readonly completionTokens: number;
  readonly poolUsed: Pool;
}

/** The ledger as the edges see it. Every method rejects when the database can't be reached. */
export interface Reservations {
  /** Decides limits and money at once; durable when it resolves. */
  reserve(request: HoldRequest): Promise<HoldDecision>;
  /**
   * Notes that the answer has begun or gone on. Not awaited on the hot path: it rides on a later
   * batch, with the newest counts there are when it leaves; after a settlement it changes nothing.
   */
  noteProgress(progress: RelayProgress): void;
  /** Charges what was delivered and returns the rest; a no-op on a settled reservation. */
  settle(settlement: Settlement): Promise<void>;
  /**
   * Returns the whole hold because nothing reached the client. A charge that another carrier made
   * in the meantime is corrected to zero.
   */
  release(reservationId: string, reason: ReleaseReason): Promise<void>;
}

export type ReleaseReason =
  'inference_unavailable' | 'inference_failed' | 'timeout' | 'client_gone' | 'refused';

import type { InferenceResponse, Pool } from '@arrakis/contracts';
import type { ApiKeyPrincipal } from '../api-keys/api-key.domain.ts';
import type { LimitState } from '../reservations/reservation.domain.ts';
import type { PromptInput } from './prompt.domain.ts';
import type { Refusal } from './refusal.domain.ts';

/** Which of the two public APIs a request came through. */
export type InferenceApi = 'inference' | 'chat_completions';

/** One inference as either API asks for it, validated in form. */
export interface InferenceCommand {
  readonly api: InferenceApi;
  /** Names the reservation too. */
  readonly requestId: string;
  readonly principal: ApiKeyPrincipal;
  /** Slug or NFT id. */
  readonly agent: string;
  readonly pool: Pool | undefined;
  readonly input: PromptInput;
  readonly maxTokens: number;
}

/** What is known of an answer before its first byte. */
export interface AnswerHead {
  readonly nftId: string;
  readonly pool: Pool;
  readonly personalityId: string | undefined;
  readonly contractVersion: string;
  readonly limits: LimitState;
}

export interface Refused {
  readonly kind: 'refused';
  readonly refusal: Refusal;
}
export interface ClientGone {
  readonly kind: 'client_gone';
}

export type AnswerResult =
  | { readonly kind: 'answered'; readonly head: AnswerHead; readonly answer: InferenceResponse }
  | Refused
  | ClientGone;

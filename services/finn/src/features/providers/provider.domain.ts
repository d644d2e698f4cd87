import type { ChatMessage, FinishReason } from '@arrakis/contracts';

/** One call to a model. `messages` already hold the personality as the first system message. */
export interface ProviderRequest {
  readonly model: string;
  readonly messages: readonly ChatMessage[];
  readonly maxTokens: number;
}

export interface ProviderUsage {
  readonly promptTokens: number;
  /** May exceed what was handed over as text: vendors count hidden reasoning too. */
  readonly completionTokens: number;
}

export interface ProviderResult {
  /** Absent when the vendor sent none: the caller counts for itself. */
  readonly usage: ProviderUsage | undefined;
  readonly finishReason: FinishReason;
}

/**
 * Why a call failed. Whether another target may succeed: all but `rejected` (the request itself is
 * refused: 400, 404, 422, or a prompt that doesn't fit the model).
 *
 * - `connect_failed`: not reached, nothing was sent
 * - `timeout`: silence for `idleMs`, or `totalMs` were over
 * - `rate_limited`: 429; `retryAfterMs` when the vendor said
 * - `server_error`: 5xx, 529, a vendor's error event, a local model that died or is busy
 * - `unauthorized`: 401, 403: the key is wrong, an operator must act
 * - `protocol_error`: not the protocol we know, or a stream cut before its end
 */
export type ProviderErrorCode =
  | 'connect_failed'
  | 'timeout'
  | 'rate_limited'
  | 'server_error'
  | 'rejected'
  | 'unauthorized'
  | 'protocol_error';

/** A failed call. Its message never holds the vendor's body, a key or a prompt. */
export class ProviderError extends Error {
  readonly code: ProviderErrorCode;
  readonly retryAfterMs: number | undefined;

  constructor(
    code: ProviderErrorCode,
    message: string,
    options?: { retryAfterMs?: number | undefined; cause?: unknown },
  ) {
    super(message, options?.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'ProviderError';
    this.code = code;
    this.retryAfterMs = options?.retryAfterMs;
  }
}

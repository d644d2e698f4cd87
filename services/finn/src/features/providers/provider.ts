import type { ChatMessage, FinishReason } from '@arrakis/contracts';

/** One call to a model. `messages` already hold the personality as the first system message. */
export interface ProviderRequest {
  readonly model: string;
  readonly messages: readonly ChatMessage[];
  readonly maxTokens: number;
}

/**
 * Where a provider puts what it receives, synchronously and without a promise per token.
 * `onText` returns false when the reader is behind: the provider then pauses its source until
 * `onDrain`'s callback runs. What had already arrived is still handed over.
 *
 * An exception thrown by `onText` aborts the call and is what `complete` rejects with.
 */
export interface ProviderSink {
  /**
   * `tokens`: how many completion tokens this text stands for: exact for `local` and `canned`, 1
   * per delta of a vendor's protocol, which doesn't say (some vendors join several tokens into
   * one delta; the result's usage is the truth then).
   */
  onText(text: string, tokens: number): boolean;
  /** Called after `onText` returned false. `resume` may be called later, from anywhere, once. */
  onDrain(resume: () => void): void;
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

/** One model vendor, or a model on this machine. */
export interface Provider {
  /**
   * Streams one answer into `sink` and resolves at its end.
   *
   * @throws ProviderError; or the signal's reason when `signal` aborts (the upstream call is
   * aborted with it, and nothing reaches the sink any more).
   */
  complete(
    request: ProviderRequest,
    sink: ProviderSink,
    signal: AbortSignal,
  ): Promise<ProviderResult>;
  /** Cheap check that the target answers. @throws ProviderError */
  probe(model: string, signal: AbortSignal): Promise<void>;
  /** Tokens of `text` under the model's tokenizer, or the nearest known one. Bounded time. */
  countTokens(model: string, text: string): number;
  /** Ends what still runs and frees the connections. */
  close(): Promise<void>;
}

export interface ProviderTimeouts {
  /** Until the connection stands. */
  readonly connectMs: number;
  /** Longest silence, before the first byte and between two. */
  readonly idleMs: number;
  /** The whole call, waiting in a queue included. */
  readonly totalMs: number;
}

/** Where the providers tell an operator about what no request can be blamed for. */
export interface ProviderLog {
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
}

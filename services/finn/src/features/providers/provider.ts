import type { ProviderRequest, ProviderResult } from './provider.domain.ts';

export {
  ProviderError,
  type ProviderRequest,
  type ProviderResult,
  type ProviderUsage,
} from './provider.domain.ts';

/**
 * Where a provider puts what it receives, synchronously and without a promise per token.
 * `onText` returns false when the reader is behind: the provider then pauses its source until
 * `onDrain`'s callback runs. What had already arrived is still handed over.
 *
 * An exception thrown by `onText` aborts the call and is what `complete` rejects with.
 */
export interface ProviderSink {
  /**
   * `tokens`: how many completion tokens this text stands for, from a provider that knows (`local`,
   * `canned`). A vendor's protocol doesn't say: a delta may be a token, several, or a piece of one.
   */
  onText(text: string, tokens?: number): boolean;
  /** The prompt's tokens, where the provider tells them before its text. */
  onPromptTokens?(tokens: number): void;
  /** Called after `onText` returned false. `resume` may be called later, from anywhere, once. */
  onDrain(resume: () => void): void;
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
  /** Cheap check that the target answers; generates nothing. @throws ProviderError */
  probe(model: string, signal: AbortSignal): Promise<void>;
  /** Where a probe may take longer than one exchange over the network. */
  readonly probeTimeoutMs?: number;
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

import type { InferenceRequest, Pool, ProblemCode } from '@arrakis/contracts';

/** One attempt at one inference. */
export interface FinnRequest {
  readonly requestId: string;
  readonly token: string;
  readonly body: InferenceRequest;
  /** What is left of the deadline, for the whole answer. */
  readonly timeoutMs: number;
  /** Aborts when the client has gone. */
  readonly signal: AbortSignal;
}

/** What finn said about itself before the first byte. */
export interface FinnHead {
  readonly poolUsed: Pool | undefined;
  readonly personalityId: string | undefined;
  readonly model: string | undefined;
  readonly contractVersion: string | undefined;
  readonly promptTokens: number | undefined;
  readonly tokenCount: number | undefined;
}

/** Where a body is pushed, each method called from within the socket's read. */
export interface FinnBodySink {
  onData(chunk: Buffer): void;
  /** `tokenCount`: the trailer, when there was one. */
  onEnd(tokenCount: number | undefined): void;
  onError(reason: 'cut' | 'timeout'): void;
}

/** A body that has begun, paused until it is read. */
export interface FinnBody {
  read(sink: FinnBodySink): void;
  pause(): void;
  resume(): void;
  /** Ends finn's work on it; nothing is pushed afterwards. */
  abort(): void;
}

/** `model_failed`: finn is there and says that no model gave this request an answer. */
export type UnavailableReason =
  | 'connect_failed'
  | 'connection_lost'
  | 'timeout'
  | 'server_error'
  | 'model_failed'
  | 'protocol_error';

export type FinnAttempt =
  | { readonly kind: 'streaming'; readonly head: FinnHead; readonly body: FinnBody }
  | {
      readonly kind: 'refused';
      readonly status: number;
      /** finn's problem code, when it is one of the closed table. */
      readonly code: ProblemCode | undefined;
      readonly detail: string | undefined;
    }
  | {
      readonly kind: 'unavailable';
      readonly reason: UnavailableReason;
      readonly retryAfterSeconds: number | undefined;
    }
  | { readonly kind: 'aborted' };

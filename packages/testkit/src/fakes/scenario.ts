/** One step of a scripted answer. A text is one chunk and counts as one token. */
export type Step =
  | string
  /** Silence for that long. */
  | { readonly waitMs: number }
  /** Silence until the test calls `release()`. */
  | { readonly hold: true }
  /** Silence until the client leaves or the fake closes. */
  | { readonly stall: true }
  /** The connection is reset in the middle of the answer. */
  | { readonly cut: true }
  /** These bytes as they are, valid or not. On a plain answer they are the whole body. */
  | { readonly raw: string }
  /** An error that the vendor reports inside a stream that began with 200. */
  | { readonly streamError: string };

/** How a model answers one request. */
export interface Scenario {
  readonly steps?: readonly Step[];
  /** An error with the vendor's own body instead of an answer. */
  readonly status?: number;
  /** The text of that error; put something secret there to see that it goes no further. */
  readonly errorMessage?: string;
  readonly retryAfterSeconds?: number;
  /** Nothing is answered, not even headers, for that long. */
  readonly headersDelayMs?: number;
  /** Nothing is answered, not even headers, until `release()`. */
  readonly holdHeaders?: boolean;
  readonly finishReason?: 'stop' | 'length';
  /** What the vendor claims; by default what was really sent. `omit`: it says nothing. */
  readonly usage?: 'omit' | { readonly promptTokens?: number; readonly completionTokens?: number };
}

export const DEFAULT_STEPS: readonly Step[] = ['Hello', ' from', ' a', ' fake', ' model', '.'];

export type RequestOutcome =
  /** Still being answered. */
  | 'open'
  /** Answered to the end, error statuses included. */
  | 'completed'
  /** The client left first. */
  | 'aborted'
  /** The fake cut it, as scripted. */
  | 'cut';

export interface RecordedRequest {
  readonly method: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  /** Parsed JSON; undefined when there was none. */
  readonly body: unknown;
  readonly model: string | undefined;
  /** 0 until headers were sent. */
  readonly status: number;
  readonly outcome: RequestOutcome;
  /** Text chunks handed to the socket. */
  readonly chunksSent: number;
}

/** What both fakes offer besides their address. */
export interface FakeControl {
  /** In the order of arrival; each entry changes until its outcome is there. */
  readonly requests: readonly RecordedRequest[];
  /** Requests being answered now, and the most there ever were. */
  readonly concurrent: number;
  readonly peakConcurrent: number;
  /** Requests that wait at a `hold` now. */
  readonly holding: number;
  /** Lets every request go on that waits at a `hold` now. */
  release(): void;
  /**
   * How a model answers from now on. Several scenarios serve one request each, in order; the
   * last one stays.
   */
  script(model: string, ...scenarios: readonly Scenario[]): void;
  /** Forgets the recorded requests. */
  clear(): void;
  close(): Promise<void>;
}

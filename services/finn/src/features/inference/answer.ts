import type { FinishReason, Pool, Problem, Usage } from '@arrakis/contracts';

/** What an answer says of itself before its text. */
export interface AnswerHead {
  readonly poolUsed: Pool;
  readonly personalityId: string;
  readonly promptTokens: number;
  readonly model: string;
}

export interface Delivered {
  readonly text: string;
  /** The running count at its end. */
  readonly tokens: number;
}

/**
 * The way to one caller. Text goes in as the model says it; whether and when it is sent is the
 * answer's business.
 */
export interface Answer {
  /** Aborted when the caller leaves before the end. */
  readonly callerGone: AbortSignal;
  /** Whether bytes were sent: after that a failure can't be a status, and nothing can be retried. */
  readonly isCommitted: boolean;
  /** What was handed to the socket. */
  readonly delivered: Delivered;
  /** A new attempt: forgets what an earlier one said. Not after {@link isCommitted}. */
  begin(head: AnswerHead, onDelivered: (completionTokens: number) => void): void;
  /** A better count of the prompt than `begin` had; of no use once {@link isCommitted}. */
  correctPrompt(promptTokens: number): void;
  /**
   * `false` when the caller reads slower than the model speaks. `tokensSoFar`: of all that was
   * written, this text included; see `RunningCount`.
   */
  write(text: string, tokensSoFar: number): boolean;
  onDrain(resume: () => void): void;
  /** The end. Whether the caller got all of it; an answer that was not sent delivers nothing. */
  complete(usage: Usage, finishReason: FinishReason): Promise<boolean>;
  /** The end of a committed answer that failed midway, which used `usage`. */
  fail(error: Problem, usage: Usage): Promise<void>;
}

export type EndCause = 'caller_gone' | 'timeout' | 'shutdown' | 'cut';

/** Why we ended a call to a provider ourselves. */
export class CallEnded extends Error {
  readonly why: EndCause;

  constructor(why: EndCause) {
    super(`the call was ended: ${why}`);
    this.name = 'CallEnded';
    this.why = why;
  }
}

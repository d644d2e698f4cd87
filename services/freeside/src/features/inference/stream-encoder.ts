import type { FinishReason, Problem, Usage } from '@arrakis/contracts';

/**
 * Turns finn's events into the client's stream. The relay reports the events of one read in order
 * and then takes what they became, so that they leave in one write.
 */
export interface StreamEncoder {
  onToken(data: Buffer): void;
  onDone(usage: Usage, finishReason: FinishReason): void;
  onError(error: Problem): void;
  /** @param bytes the same events as finn wrote them */
  take(bytes: Buffer): Buffer | string;
  /** What ends the stream when finn's answer broke off. */
  failure(error: Problem): string;
}

import type { Response } from 'k6/http';
import { Counter, Rate, Trend } from 'k6/metrics';

/** What is measured beside k6's own metrics. */
export const metrics = {
  /** Whole answers with counted tokens. */
  answers: new Counter('answers'),
  answerFailed: new Rate('answer_failed'),
  /** Milliseconds from the request to the end of the answer. */
  answerDuration: new Trend('answer_duration', true),
  /**
   * Milliseconds to the first byte of a streamed answer. k6 reads a response whole and knows no
   * server-sent events; but freeside sends the head together with the first event, so that the
   * first byte is the first token's.
   */
  timeToFirstToken: new Trend('time_to_first_token', true),
  completionTokens: new Counter('completion_tokens'),
  serverErrors: new Counter('server_errors'),
  /** Refused by the key's own limits: then it is the limit that was measured. */
  rateLimited: new Counter('rate_limited'),
  receiptSettled: new Rate('receipt_settled'),
  receiptWithinHold: new Rate('receipt_within_hold'),
  /**
   * Micro-credits: each receipt adds its charge, the end takes away what the balance fell by. Whole
   * numbers far below 2^53, which a float adds exactly.
   */
  booksDifference: new Counter('books_difference'),
  booksBalanced: new Rate('books_balanced'),
};

/** Notes every response that should not have been. */
export function countStatus({ status }: Response): void {
  // 0: nobody answered, which a client can't tell from a server that broke.
  metrics.serverErrors.add(status === 0 || status >= 500 ? 1 : 0);
  metrics.rateLimited.add(status === 429 ? 1 : 0);
}

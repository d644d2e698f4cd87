import { createHash } from 'node:crypto';
import { isUnavailable, sqlState } from '@arrakis/postgres';
import { ProblemError } from '@arrakis/service-kit';
import type { Decision } from './delivery.domain.ts';
import type { PaymentEvents, WebhookRefusal } from './events.ts';
import { ForgeryLimit } from './forgery-limit.domain.ts';
import { ContendedPaymentError, type PaymentIntake } from './intake.service.ts';
import { isSignatureShaped, type IpnVerifier } from './ipn-signature.ts';
import { JsonTextError, parseJsonText, type JsonText } from './json-text.domain.ts';
import { readReport, redactReport } from './vendor-report.domain.ts';

export interface WebhookServiceOptions {
  readonly intake: PaymentIntake;
  /** Undefined where no secret is configured: then nothing can be believed. */
  readonly verifier: IpnVerifier | undefined;
  readonly events: PaymentEvents;
  /** Monotonic milliseconds; `performance.now` when absent. */
  readonly monotonicMs?: () => number;
  /** From the whole post to the answer, at most; what the vendor's patience allows when absent. */
  readonly answerWithinMs?: number;
}

interface WebhookSender {
  readonly signature: string | undefined;
  readonly remoteAddress: string;
}

export interface WebhookHead extends WebhookSender {
  /** As announced; NaN when nothing was. */
  readonly bodyBytes: number;
}

export interface WebhookPost extends WebhookSender {
  readonly raw: Uint8Array;
}

/** The database is away, busy, or the payment contended: the vendor comes back. */
const RETRY_LATER_STATES: readonly (string | undefined)[] = ['40001', '40P01', '55P03'];
/**
 * The vendor hangs up after three seconds, and a little is left for the way. A bound of our own: the
 * waits below it (for a connection, for each lock, for a statement, once more after a lost
 * connection) add up to more.
 */
const ANSWER_WITHIN_MS = 2_700;
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** The database has not said in time whether it committed. */
class LateCommitError extends Error {
  override readonly name = 'LateCommitError';
}

/**
 * Takes the vendor's notices. Whatever it resolves with is committed; all else is a ProblemError. A
 * refusal doesn't mean that nothing was committed: a commit whose answer is late or lost stands, and
 * the same notice told again finds it.
 */
export class WebhookService {
  readonly #options: WebhookServiceOptions;
  readonly #forgeries = new ForgeryLimit();

  constructor(options: WebhookServiceOptions) {
    this.#options = options;
  }

  /** Refuses what an address sends that has forged too much, before the body is read. */
  admit({ remoteAddress, signature, bodyBytes }: WebhookHead): void {
    const isSigned = isSignatureShaped(signature);
    const head = { remoteAddress, isSigned, bodyBytes };
    const seconds = this.#forgeries.retryAfterSeconds(head, this.#nowMs());
    if (seconds === 0) return;
    throw this.#refusal('rate_limited', {
      code: 'rate_limited',
      detail: 'Too many unsigned posts from this address.',
      headers: { 'retry-after': String(seconds) },
    });
  }

  async receive(post: WebhookPost): Promise<Decision['outcome']> {
    const startedMs = this.#nowMs();
    const body = this.#authenticate(post);
    try {
      return await this.#take(body, post.raw);
    } finally {
      // Also of what failed or was late: slowness shows there first.
      this.#options.events.webhookAnswered(this.#nowMs() - startedMs);
    }
  }

  async #take(body: JsonText, raw: Uint8Array): Promise<Decision['outcome']> {
    const kept = {
      source: 'webhook' as const,
      kept: redactReport(body),
      bodyHash: createHash('sha256').update(raw).digest(),
    };
    const reading = readReport(body);
    if (!reading.ok) {
      await this.#commit(this.#options.intake.keepMalformed(kept));
      throw this.#refusal('unreadable', { code: 'invalid_request', errors: reading.errors });
    }
    const intake = await this.#commit(this.#options.intake.receive(reading.report, kept));
    if (intake.kind === 'applied') return intake.decision.outcome;
    if (intake.kind === 'paused') {
      throw this.#refusal('paused', {
        code: 'rate_limited',
        detail: 'This payment was told of ten times within the hour.',
        headers: { 'retry-after': String(intake.retryAfterSeconds) },
      });
    }
    throw this.#refusal('unbound', {
      code: 'not_found',
      detail: 'The notice belongs to no payment of ours.',
    });
  }

  #authenticate({ raw, signature, remoteAddress }: WebhookPost): JsonText {
    const { verifier } = this.#options;
    if (verifier === undefined) {
      throw this.#refusal('disabled', {
        code: 'feature_disabled',
        detail: 'Payments are not configured here.',
        headers: { 'retry-after': '60' },
      });
    }
    try {
      const body = parse(raw);
      if (verifier.verify(raw, body, signature ?? '')) return body;
    } catch (error) {
      this.#forgeries.recordForgery(remoteAddress, this.#nowMs());
      if (error instanceof ProblemError) this.#options.events.webhookRefused('malformed');
      throw error;
    }
    this.#forgeries.recordForgery(remoteAddress, this.#nowMs());
    throw this.#refusal('invalid_signature', {
      code: 'invalid_signature',
      detail: 'x-nowpayments-sig must be the HMAC-SHA512 of the body, in 128 hexadecimal digits.',
      headers: { 'www-authenticate': 'NOWPayments-Signature' },
    });
  }

  /**
   * What the database couldn't take now is worth coming back for. Work that is late goes on: what it
   * commits counts, and the notice told again is a repetition.
   */
  async #commit<T>(work: Promise<T>): Promise<T> {
    try {
      return await withinMs(work, this.#options.answerWithinMs ?? ANSWER_WITHIN_MS);
    } catch (cause) {
      if (!isPassing(cause)) {
        this.#options.events.webhookRefused('failed');
        throw cause;
      }
      throw this.#refusal('unavailable', {
        code: 'service_unavailable',
        detail: 'The notice could not be stored; send it again.',
        headers: { 'retry-after': '5' },
        cause,
      });
    }
  }

  #refusal(
    reason: WebhookRefusal,
    init: ConstructorParameters<typeof ProblemError>[0],
  ): ProblemError {
    this.#options.events.webhookRefused(reason);
    return new ProblemError(init);
  }

  #nowMs(): number {
    return (this.#options.monotonicMs ?? (() => performance.now()))();
  }
}

/** Whether the same notice may be taken a moment later. */
function isPassing(cause: unknown): boolean {
  return (
    isUnavailable(cause) ||
    cause instanceof LateCommitError ||
    cause instanceof ContendedPaymentError ||
    RETRY_LATER_STATES.includes(sqlState(cause))
  );
}

/** @throws LateCommitError when the work takes longer; how it ends then is nobody's trouble. */
async function withinMs<T>(work: Promise<T>, timeoutMs: number): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new LateCommitError('not committed in time')), timeoutMs);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** @throws ProblemError that says what is wrong with the bytes. */
function parse(raw: Uint8Array): JsonText {
  let text: string;
  try {
    text = utf8.decode(raw);
  } catch {
    throw new ProblemError({
      code: 'invalid_encoding',
      errors: [{ field: '/', reason: 'must be valid UTF-8' }],
    });
  }
  try {
    return parseJsonText(text);
  } catch (error) {
    if (!(error instanceof JsonTextError)) throw error;
    throw new ProblemError({
      code: 'malformed_json',
      errors: [{ field: '/', reason: error.message }],
    });
  }
}

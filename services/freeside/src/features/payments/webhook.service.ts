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
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** Takes the vendor's notices. Whatever it resolves with is committed; all else is a ProblemError. */
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
    const kept = {
      source: 'webhook' as const,
      kept: redactReport(body),
      bodyHash: createHash('sha256').update(post.raw).digest(),
    };
    const reading = readReport(body);
    if (!reading.ok) {
      await this.#commit(this.#options.intake.keepMalformed(kept));
      throw this.#refusal('malformed', { code: 'invalid_request', errors: reading.errors });
    }
    const intake = await this.#commit(this.#options.intake.receive(reading.report, kept));
    this.#options.events.webhookAnswered(this.#nowMs() - startedMs);
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

  /** What the database couldn't take now is worth coming back for. */
  async #commit<T>(work: Promise<T>): Promise<T> {
    try {
      return await work;
    } catch (cause) {
      const isPassing =
        isUnavailable(cause) ||
        cause instanceof ContendedPaymentError ||
        RETRY_LATER_STATES.includes(sqlState(cause));
      if (!isPassing) {
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

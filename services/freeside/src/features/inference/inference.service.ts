import { CONTRACT_VERSION, problem, type InferenceRequest } from '@arrakis/contracts';
import type { S2STokenSubject } from '@arrakis/signing-keys';
import { activeSpan } from '@arrakis/telemetry';
import type { Reservations, Settlement } from '../reservations/reservation.domain.ts';
import type { Admission, Admitted } from './admission.ts';
import type { InferenceEvents } from './events.ts';
import type { FinnBody, FinnHead } from './finn-attempt.ts';
import type { FinnCaller, FinnCallResult } from './finn-caller.ts';
import { refusalOfCall, refusalOfEnd, releaseReasonOf } from './finn-outcome.domain.ts';
import type { Hold } from './hold.ts';
import type {
  AnswerHead,
  AnswerResult,
  ClientGone,
  InferenceCommand,
  Refused,
} from './inference.domain.ts';
import type { LedgerRetries } from './ledger-retries.ts';
import { readPlainAnswer } from './plain-answer.ts';
import type { Refusal } from './refusal.domain.ts';
import type { StreamEncoder } from './stream-encoder.ts';
import { relayStream, type ClientStream, type RelayEnd } from './stream-relay.ts';

export interface InferenceServiceOptions {
  readonly admission: Admission;
  readonly reservations: Pick<Reservations, 'noteProgress'>;
  readonly tokens: { sign(subject: S2STokenSubject): string };
  readonly finn: Pick<FinnCaller, 'call'>;
  readonly retries: LedgerRetries;
  readonly events: InferenceEvents;
  /** Between two notes of one stream's progress. */
  readonly notePeriodMs: number;
  readonly monotonicMs: () => number;
}

export type StreamResult =
  | { readonly kind: 'streamed'; readonly head: AnswerHead; readonly end: RelayEnd }
  | Refused
  | ClientGone;

/** An answer that finn has begun, under its hold. */
interface Opened {
  readonly hold: Hold;
  readonly head: AnswerHead;
  readonly finn: FinnHead;
  readonly body: FinnBody;
  readonly dispatchedAtMs: number;
}

/**
 * The use case behind both APIs: hold the worst case, have finn answer, pass the answer on, settle
 * what was delivered. Each hold ends settled, released or left to reconciliation, once.
 */
export class InferenceService {
  readonly #options: InferenceServiceOptions;
  /** Requests whose hold may still be without its end; a client's leaving doesn't end them at once. */
  readonly #underWay = new Set<Promise<unknown>>();
  #activeStreams = 0;

  constructor(options: InferenceServiceOptions) {
    this.#options = options;
  }

  /** Resolves when every hold has been given its end. Call when intake has stopped. */
  async settled(): Promise<void> {
    await Promise.allSettled(this.#underWay);
  }

  /** Tries ledger operations that are still put off a last time. */
  async drain(): Promise<void> {
    await this.#options.retries.drain();
  }

  /**
   * Answers in one piece.
   *
   * @param signal aborts when the client leaves
   */
  async answer(command: InferenceCommand, signal: AbortSignal): Promise<AnswerResult> {
    const beganAtMs = this.#options.monotonicMs();
    const result = await this.#track(
      this.#serve(command, false, signal, (opened) => this.#finishPlain(opened, signal)),
    );
    this.#finished(command, 'plain', result, beganAtMs);
    return result;
  }

  /**
   * Streams an answer to `client`; resolves at its end. Nothing was written when the result is a
   * refusal.
   *
   * @param prepare told what is known of the answer, just before its first event
   */
  async stream(
    command: InferenceCommand,
    client: ClientStream,
    prepare: (head: AnswerHead) => StreamEncoder,
  ): Promise<StreamResult> {
    const beganAtMs = this.#options.monotonicMs();
    const result = await this.#track(
      this.#serve(command, true, client.signal, (opened) =>
        this.#relay(opened, client, prepare(opened.head), beganAtMs),
      ),
    );
    this.#finished(command, 'stream', result, beganAtMs);
    return result;
  }

  async #track<Result>(work: Promise<Result>): Promise<Result> {
    this.#underWay.add(work);
    try {
      return await work;
    } finally {
      this.#underWay.delete(work);
    }
  }

  async #serve<Result>(
    command: InferenceCommand,
    stream: boolean,
    signal: AbortSignal,
    finish: (opened: Opened) => Promise<Result>,
  ): Promise<Result | Refused | ClientGone> {
    const admitted = await this.#options.admission.admit(command);
    if ('code' in admitted) return { kind: 'refused', refusal: admitted };
    const { hold } = admitted;
    try {
      if (signal.aborted) return await clientGone(hold);
      const dispatchedAtMs = this.#options.monotonicMs();
      const call = await this.#call(command, admitted, stream, signal);
      if (call.kind === 'aborted') return await clientGone(hold);
      if (call.kind !== 'streaming') return await this.#refuseCall(call, hold);
      const { head: finn, body } = call;
      return await finish({ hold, head: headOf(admitted, finn), finn, body, dispatchedAtMs });
    } finally {
      // Only a bug gets here with an open hold; the client must not pay for it.
      if (hold.isOpen) await hold.release('inference_failed');
    }
  }

  async #call(
    command: InferenceCommand,
    admitted: Admitted,
    stream: boolean,
    signal: AbortSignal,
  ): Promise<FinnCallResult> {
    const { nftId, tier, pool } = admitted;
    const { requestId } = command;
    const { communityId } = command.principal;
    const subject = { nftId, tier, pool, communityId, reservationId: requestId };
    try {
      return await this.#options.finn.call({
        requestId,
        pool,
        body: toInferenceRequest(command, stream),
        sign: () => this.#options.tokens.sign(subject),
        signal,
      });
    } catch (error) {
      this.#options.events.failed(requestId, 'sign', error);
      return { kind: 'unavailable', reason: 'server_error', retryAfterSeconds: undefined };
    }
  }

  async #refuseCall(
    call: Exclude<FinnCallResult, { kind: 'streaming' | 'aborted' }>,
    hold: Hold,
  ): Promise<Refused> {
    if (call.kind === 'refused') {
      this.#options.events.refusedByFinn(hold.reservationId, call.status, call.code);
    }
    await hold.release(releaseReasonOf(call));
    return refused(refusalOfCall(call), hold);
  }

  async #finishPlain(opened: Opened, signal: AbortSignal): Promise<AnswerResult> {
    const { hold, head, finn } = opened;
    const read = await readPlainAnswer(opened.body, signal);
    // From here to the client's socket nothing waits, so whoever is here now gets the answer.
    if (signal.aborted) return clientGone(hold);
    if (!read.ok) return this.#refuseBroken(hold, read.reason);
    const { usage } = read.answer;
    const completionTokens = finn.tokenCount ?? usage.completion_tokens;
    this.#settle(opened, 'response_header', usage.prompt_tokens, completionTokens);
    return { kind: 'answered', head, answer: read.answer };
  }

  async #relay(
    opened: Opened,
    client: ClientStream,
    encoder: StreamEncoder,
    beganAtMs: number,
  ): Promise<StreamResult> {
    const { hold, head, finn, body } = opened;
    const { events, monotonicMs, notePeriodMs, reservations } = this.#options;
    const { reservationId } = hold;
    const promptTokens = finn.promptTokens ?? 0;
    // Taken now: the first token comes in a callback of finn's socket.
    const span = activeSpan();
    this.#countStreams(1);
    const relayed = relayStream({
      body,
      client,
      encoder,
      notePeriodMs,
      nowMs: monotonicMs,
      problem: (code) => problem({ code, requestId: reservationId, detail: BROKEN_OFF }),
      onBegin: () => {
        const waitedMs = monotonicMs() - beganAtMs;
        events.firstToken(head.pool, waitedMs / 1000);
        span.set({ 'arrakis.time_to_first_token_ms': waitedMs });
      },
      onProgress: (completionTokens) =>
        reservations.noteProgress({
          reservationId,
          promptTokens,
          completionTokens,
          poolUsed: head.pool,
        }),
    });
    const end = await relayed.finally(() => this.#countStreams(-1));
    return this.#conclude(opened, end, promptTokens);
  }

  async #conclude(opened: Opened, end: RelayEnd, promptTokens: number): Promise<StreamResult> {
    const { hold, head } = opened;
    if (end.kind === 'done') {
      const { usage } = end;
      this.#settle(opened, 'done_event', usage.prompt_tokens, usage.completion_tokens);
      return { kind: 'streamed', head, end };
    }
    if (!end.began) {
      return end.kind === 'client_gone' ? clientGone(hold) : this.#refuseBroken(hold, end.reason);
    }
    if (end.kind === 'failed') this.#options.events.streamBroke(hold.reservationId, end.reason);
    if (end.tokens === 0) {
      // The head went out, and nothing of the answer after it.
      await hold.release(end.kind === 'failed' ? 'inference_failed' : 'client_gone');
      return { kind: 'streamed', head, end };
    }
    const tokenCount = end.kind === 'failed' ? end.tokenCount : undefined;
    if (tokenCount === undefined) {
      hold.leave({ promptTokens, completionTokens: end.tokens, poolUsed: head.pool });
    } else {
      this.#settle(opened, 'response_header', promptTokens, tokenCount);
    }
    return { kind: 'streamed', head, end };
  }

  /** finn's answer ended before anything of it could be passed on. */
  async #refuseBroken(hold: Hold, reason: string): Promise<Refused> {
    this.#options.events.streamBroke(hold.reservationId, reason);
    await hold.release(reason === 'timeout' ? 'timeout' : 'inference_failed');
    return refused(refusalOfEnd(reason), hold);
  }

  #settle(
    { hold, head, finn, dispatchedAtMs }: Opened,
    carrier: Settlement['carrier'],
    promptTokens: number,
    completionTokens: number,
  ): void {
    hold.settle({
      carrier,
      promptTokens,
      completionTokens,
      poolUsed: head.pool,
      model: finn.model,
      personalityId: head.personalityId,
      latencyMs: Math.round(this.#options.monotonicMs() - dispatchedAtMs),
    });
  }

  #finished(
    { api }: InferenceCommand,
    mode: 'stream' | 'plain',
    result: AnswerResult | StreamResult,
    beganAtMs: number,
  ): void {
    const seconds = (this.#options.monotonicMs() - beganAtMs) / 1000;
    this.#options.events.finished({ api, mode, outcome: outcomeOf(result), seconds });
  }

  #countStreams(change: 1 | -1): void {
    this.#activeStreams += change;
    this.#options.events.streamsChanged(this.#activeStreams);
  }
}

const BROKEN_OFF = 'The answer broke off; only what was delivered is charged.';

function headOf({ nftId, pool, hold }: Admitted, finn: FinnHead): AnswerHead {
  return {
    nftId,
    pool: finn.poolUsed ?? pool,
    personalityId: finn.personalityId,
    contractVersion: finn.contractVersion ?? CONTRACT_VERSION,
    limits: hold.limits,
  };
}

function toInferenceRequest(command: InferenceCommand, stream: boolean): InferenceRequest {
  const { input, maxTokens: max_tokens } = command;
  return 'prompt' in input
    ? { prompt: input.prompt, max_tokens, stream }
    : { messages: [...input.messages], max_tokens, stream };
}

async function clientGone(hold: Hold): Promise<ClientGone> {
  await hold.release('client_gone');
  return { kind: 'client_gone' };
}

function refused(refusal: Refusal, hold: Hold): Refused {
  return { kind: 'refused', refusal: { ...refusal, limits: hold.limits } };
}

function outcomeOf(result: AnswerResult | StreamResult): string {
  switch (result.kind) {
    case 'refused':
      return result.refusal.code;
    case 'streamed':
      return result.end.kind === 'done' ? 'answered' : result.end.kind;
    case 'answered':
    case 'client_gone':
      return result.kind;
  }
}

import {
  problem,
  usageOf,
  type ChatMessage,
  type FinishReason,
  type S2SClaims,
  type Usage,
} from '@arrakis/contracts';
import type { WideFields } from '@arrakis/service-kit';
import type { FinnEvents, InferenceOutcome } from '../../events.ts';
import type { Metering, StreamMeter } from '../metering/metering.ts';
import { fitsContext, type Choice } from '../pools/pool.domain.ts';
import type { CallOutcome, Lease, Target } from '../pools/target.ts';
import { ProviderError } from '../providers/provider.ts';
import type { Answer, Delivered } from './answer.ts';
import { Attempt, type AttemptEnd } from './attempt.ts';
import {
  boundPrompt,
  countPrompt,
  usageOfCompleted,
  usageOfPart,
  type CountText,
} from './counts.domain.ts';
import { REFUSALS, type Refusal } from './refusal.domain.ts';
import { runTraced } from './traced-attempt.ts';

export interface RunOptions {
  readonly claims: S2SClaims;
  readonly personalityId: string;
  readonly messages: readonly ChatMessage[];
  readonly maxTokens: number;
  readonly answer: Answer;
  /** Ends the run; see {@link Attempt}. */
  readonly control: AbortController;
  readonly metering: Metering;
  readonly events: FinnEvents;
  /** Monotonic. */
  readonly nowMs: () => number;
  readonly startedAtMs: number;
  /** Adds to the request's log line. */
  readonly note: (fields: WideFields) => void;
}

/** What is left to do after a run: tell the caller, and perhaps let another run have its hold. */
export type RunEnd =
  | { readonly kind: 'answered' }
  /** Nothing was delivered or recorded: the reservation may be used again. */
  | { readonly kind: 'nothing_done'; readonly refusal: Refusal | undefined };

interface Call {
  readonly choice: Choice<Target>;
  readonly count: CountText;
  readonly promptTokens: number;
  readonly meter: StreamMeter;
  readonly attempt: Attempt;
}

const ANSWERED: RunEnd = { kind: 'answered' };

/** One inference under a consumed reservation: target after target until one answers. */
export class InferenceRun {
  readonly #options: RunOptions;
  #anyFailed = false;
  #anyTooLong = false;

  constructor(options: RunOptions) {
    this.#options = options;
  }

  /**
   * @param whenUnavailable what to say if every candidate turned out to be closed
   * @throws SpoolFullError when usage can't be recorded; nothing was done then
   */
  async run(
    candidates: readonly Choice<Target>[],
    whenUnavailable: () => Refusal,
  ): Promise<RunEnd> {
    for (const choice of candidates) {
      const lease = choice.target.tryAcquire();
      if (lease === undefined) continue;
      const end = await this.#try(choice, lease);
      if (end !== 'next') return end;
    }
    const pool = candidates[0]?.pool ?? 'cheap';
    if (this.#anyFailed) {
      this.#options.events.inferenceEnded(pool, 'failed');
      return nothingDone(REFUSALS.failed);
    }
    this.#options.events.inferenceEnded(pool, this.#anyTooLong ? 'rejected' : 'unavailable');
    return nothingDone(this.#anyTooLong ? REFUSALS.tooLong : whenUnavailable());
  }

  async #try(choice: Choice<Target>, lease: Lease): Promise<RunEnd | 'next'> {
    let outcome: CallOutcome = 'neutral';
    let call: Call | undefined;
    try {
      call = this.#prepare(choice, lease);
      if (call === undefined) return 'next';
      const calledAtMs = this.#options.nowMs();
      const end = await runTraced(call.attempt, choice);
      this.#reportAttempt(choice, end, calledAtMs);
      outcome = judge(end, call.attempt.hasText);
      // The target is free again while the caller still takes in what it said.
      lease.release(outcome);
      return await this.#settle(call, end);
    } catch (error) {
      // A bug of ours. What was delivered is still owed, and the journal must not wait for ever.
      if (call !== undefined) this.#finish(call, this.#usageDelivered(call), 'failed');
      throw error;
    } finally {
      lease.release(outcome);
    }
  }

  #prepare(choice: Choice<Target>, lease: Lease): Call | undefined {
    const { answer, claims, control, events, maxTokens, messages, personalityId } = this.#options;
    const { pool, target } = choice;
    const count: CountText = (text) => target.countTokens(text);
    // The first message is the personality's, the same for every request of the agent.
    const promptTokens = countPrompt(messages, count, (text) => target.countRecurring(text));
    if (!fitsContext(target.contextTokens, promptTokens, maxTokens)) {
      this.#anyTooLong = true;
      return undefined;
    }
    const meter = this.#options.metering.start({
      reservationId: claims.budget_reservation_id,
      communityId: claims.community_id,
      nftId: claims.nft_id,
      model: target.model,
      poolUsed: pool,
      personalityId,
      promptTokens,
    });
    answer.begin({ poolUsed: pool, personalityId, promptTokens, model: target.model }, (tokens) =>
      meter.progress(tokens),
    );
    const attempt = new Attempt({
      provider: target.provider,
      model: target.model,
      messages,
      maxTokens,
      answer,
      control,
      onPromptTokens: (tokens) => answer.correctPrompt(this.#plausiblePrompt(tokens)),
      onFirstText: () => {
        lease.responded();
        events.firstToken(pool, this.#elapsedMs() / 1000);
      },
    });
    return { choice, count, promptTokens, meter, attempt };
  }

  async #settle(call: Call, end: AttemptEnd): Promise<RunEnd | 'next'> {
    switch (end.kind) {
      case 'completed':
        return this.#complete(call, end.usage, end.finishReason, 'completed');
      case 'failed':
        return this.#fail(call, end.error);
      case 'ended':
        switch (end.why) {
          case 'cut':
            return this.#complete(call, undefined, 'length', 'cut');
          case 'caller_gone':
            return this.#callerLeft(call);
          case 'timeout':
            return this.#stop(call, REFUSALS.timedOut);
          case 'shutdown':
            return this.#stop(call, REFUSALS.shuttingDown);
        }
    }
  }

  async #complete(
    call: Call,
    reported: { readonly promptTokens: number; readonly completionTokens: number } | undefined,
    finishReason: FinishReason,
    outcome: InferenceOutcome,
  ): Promise<RunEnd> {
    const { answer, maxTokens, messages } = this.#options;
    const usage = usageOfCompleted({
      reported,
      countedPromptTokens: call.promptTokens,
      promptBound: boundPrompt(messages),
      text: call.attempt.received.text,
      maxTokens,
      count: call.count,
    });
    if (await answer.complete(usage, finishReason)) {
      this.#finish(call, usage, outcome);
    } else {
      this.#finish(call, this.#usageDelivered(call), 'caller_gone');
    }
    return ANSWERED;
  }

  #callerLeft(call: Call): RunEnd {
    // What was generated cost something: the reservation stays used, for what was delivered of it.
    if (call.attempt.hasText) {
      this.#finish(call, this.#usageDelivered(call), 'caller_gone');
      return ANSWERED;
    }
    this.#abandon(call, 'caller_gone');
    return nothingDone(undefined);
  }

  async #fail(call: Call, error: unknown): Promise<RunEnd | 'next'> {
    const { claims, events } = this.#options;
    const { pool, target } = call.choice;
    events.attemptFailed(target.name, pool, claims.budget_reservation_id, error);
    if (this.#options.answer.isCommitted) return this.#stop(call, REFUSALS.failed);
    if (isRejection(error)) {
      this.#abandon(call, 'rejected');
      return nothingDone(REFUSALS.rejected);
    }
    this.#anyFailed = true;
    call.meter.abandon();
    return 'next';
  }

  /** Ends with a refusal: as a status where that is still possible, else as the last event. */
  async #stop(call: Call, refusal: Refusal): Promise<RunEnd> {
    const { answer, claims } = this.#options;
    if (!answer.isCommitted) {
      this.#abandon(call, 'failed');
      return nothingDone(refusal);
    }
    const sent = this.#usageOf(call, call.attempt.received);
    const requestId = claims.budget_reservation_id;
    await answer.fail(
      problem({ code: 'inference_failed', requestId, detail: 'The answer broke off.' }),
      sent,
    );
    this.#finish(call, this.#usageDelivered(call), 'failed_midway');
    return ANSWERED;
  }

  #usageDelivered(call: Call): Usage {
    return this.#usageOf(call, this.#options.answer.delivered);
  }

  /** A provider's own count, never beyond what the hold was bounded by. */
  #plausiblePrompt(tokens: number): number {
    return Math.min(tokens, boundPrompt(this.#options.messages));
  }

  #usageOf(call: Call, { text, tokens }: Delivered): Usage {
    const { attempt, count } = call;
    const { promptTokens: told } = attempt;
    const promptTokens = told === undefined ? call.promptTokens : this.#plausiblePrompt(told);
    const exactTokens = attempt.received.isExact ? tokens : undefined;
    const { maxTokens } = this.#options;
    return usageOfPart({ text, exactTokens, promptTokens, maxTokens, count });
  }

  #abandon(call: Call, outcome: InferenceOutcome): void {
    call.meter.abandon();
    this.#report(call, usageOf(0, 0), outcome);
  }

  #finish(call: Call, usage: Usage, outcome: InferenceOutcome): void {
    call.meter.finish({
      promptTokens: usage.prompt_tokens,
      completionTokens: usage.completion_tokens,
      latencyMs: Math.round(this.#elapsedMs()),
    });
    this.#report(call, usage, outcome);
  }

  #report({ choice: { pool, target } }: Call, usage: Usage, outcome: InferenceOutcome): void {
    const { events, note } = this.#options;
    events.inferenceEnded(pool, outcome);
    events.tokensDelivered(pool, usage.prompt_tokens, usage.completion_tokens);
    note({
      outcome,
      pool,
      target: target.name,
      promptTokens: usage.prompt_tokens,
      completionTokens: usage.completion_tokens,
    });
  }

  #reportAttempt({ pool, target }: Choice<Target>, end: AttemptEnd, calledAtMs: number): void {
    this.#options.events.attemptEnded({
      target: target.name,
      pool,
      outcome: end.kind === 'failed' ? codeOf(end.error) : end.kind,
      seconds: (this.#options.nowMs() - calledAtMs) / 1000,
    });
  }

  #elapsedMs(): number {
    return this.#options.nowMs() - this.#options.startedAtMs;
  }
}

function nothingDone(refusal: Refusal | undefined): RunEnd {
  return { kind: 'nothing_done', refusal };
}

/** What the end of a call says about its target. */
function judge(end: AttemptEnd, hasText: boolean): CallOutcome {
  switch (end.kind) {
    case 'completed':
      return 'succeeded';
    case 'failed':
      return isRejection(end.error) ? 'neutral' : 'failed';
    case 'ended':
      if (end.why === 'cut') return 'succeeded';
      return end.why === 'timeout' && !hasText ? 'failed' : 'neutral';
  }
}

function codeOf(error: unknown): ProviderError['code'] | 'error' {
  return error instanceof ProviderError ? error.code : 'error';
}

function isRejection(error: unknown): boolean {
  return error instanceof ProviderError && error.code === 'rejected';
}

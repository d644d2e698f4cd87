import {
  CONTRACT_VERSION,
  problem,
  type InferenceRequest,
  type InferenceResponse,
  type Pool,
  type Tier,
} from '@arrakis/contracts';
import { resolvePool, type Agent } from '../agents/agent.domain.ts';
import type { ApiKeyPrincipal } from '../api-keys/api-key.domain.ts';
import type {
  HoldDecision,
  HoldRequest,
  LimitState,
  Reservations,
} from '../reservations/reservation.domain.ts';
import type { S2STokenSubject } from '../s2s/s2s-token.domain.ts';
import type { InferenceApi, InferenceEvents } from './events.ts';
import type { FinnCaller, FinnCallResult } from './finn-caller.ts';
import type { FinnBody, FinnHead } from './finn.client.ts';
import { refusalOfCall, refusalOfEnd, releaseReasonOf } from './finn-outcome.domain.ts';
import { Hold, releaseQuietly, type HoldContext } from './hold.ts';
import type { LedgerRetries } from './ledger-retries.ts';
import { readPlainAnswer } from './plain-answer.ts';
import { boundPromptTokens, checkPrompt, type PromptInput } from './prompt.domain.ts';
import { refusalOfHold, type Refusal } from './refusal.domain.ts';
import { relayStream, type ClientStream, type RelayEnd } from './stream-relay.ts';
import type { StreamEncoder } from './stream-encoder.ts';
import type { TokenCounter } from './token-count.ts';

export interface InferenceServiceOptions {
  readonly reservations: Reservations;
  readonly agents: { findAgent(communityId: string, ref: string): Promise<Agent | undefined> };
  readonly tokens: { sign(subject: S2STokenSubject): string };
  readonly finn: Pick<FinnCaller, 'call'>;
  readonly counter: Pick<TokenCounter, 'count'>;
  readonly retries: LedgerRetries;
  readonly events: InferenceEvents;
  /** Between two notes of one stream's progress. */
  readonly notePeriodMs?: number;
  /** Monotonic; `performance.now` when absent. */
  readonly monotonicMs?: () => number;
  /** Milliseconds since the epoch; `Date.now` when absent. */
  readonly wallClockMs?: () => number;
}

/** One inference as either API asks for it, validated in form. */
export interface InferenceCommand {
  readonly api: InferenceApi;
  /** Names the reservation too. */
  readonly requestId: string;
  readonly principal: ApiKeyPrincipal;
  /** Slug or NFT id. */
  readonly agent: string;
  readonly pool: Pool | undefined;
  readonly input: PromptInput;
  readonly maxTokens: number;
}

/** What is known of an answer before its first byte. */
export interface AnswerHead {
  readonly nftId: string;
  readonly pool: Pool;
  readonly personalityId: string;
  readonly contractVersion: string;
  readonly limits: LimitState;
}

interface Refused {
  readonly kind: 'refused';
  readonly refusal: Refusal;
}
interface ClientGone {
  readonly kind: 'client_gone';
}

export type AnswerResult =
  | { readonly kind: 'answered'; readonly head: AnswerHead; readonly answer: InferenceResponse }
  | Refused
  | ClientGone;

export type StreamResult =
  | { readonly kind: 'streamed'; readonly head: AnswerHead; readonly end: RelayEnd }
  | Refused
  | ClientGone;

/** An answer that finn has begun, under its hold. */
interface Opened {
  readonly kind: 'opened';
  readonly hold: Hold;
  readonly head: AnswerHead;
  readonly finn: FinnHead;
  readonly body: FinnBody;
  readonly dispatchedAtMs: number;
}

interface Target {
  readonly agent: Agent;
  readonly tier: Tier;
  readonly pool: Pool;
}

const DEFAULT_NOTE_PERIOD_MS = 2_000;

/**
 * The use case behind both APIs: hold the worst case, have finn answer, pass the answer on, settle
 * what was delivered. Each hold ends settled, released or left to reconciliation, once.
 */
export class InferenceService {
  readonly #options: InferenceServiceOptions;
  readonly #holds: HoldContext;
  readonly #monotonicMs: () => number;
  readonly #wallClockMs: () => number;
  #activeStreams = 0;

  constructor(options: InferenceServiceOptions) {
    this.#options = options;
    this.#holds = options;
    this.#monotonicMs = options.monotonicMs ?? (() => performance.now());
    this.#wallClockMs = options.wallClockMs ?? (() => Date.now());
  }

  /** Tries ledger operations that are still put off a last time. Call when intake has stopped. */
  async drain(): Promise<void> {
    await this.#options.retries.drain();
  }

  /** Answers in one piece. @param signal aborts when the client leaves */
  async answer(command: InferenceCommand, signal: AbortSignal): Promise<AnswerResult> {
    const opened = await this.#open(command, false, signal);
    const result =
      opened.kind === 'opened' ? await this.#finishPlain(command, opened, signal) : opened;
    this.#options.events.finished(command.api, outcomeOf(result));
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
    const beganAtMs = this.#monotonicMs();
    const opened = await this.#open(command, true, client.signal);
    const result =
      opened.kind === 'opened'
        ? await this.#relay(opened, client, prepare(opened.head), beganAtMs)
        : opened;
    this.#options.events.finished(command.api, outcomeOf(result));
    return result;
  }

  async #open(
    command: InferenceCommand,
    stream: boolean,
    signal: AbortSignal,
  ): Promise<Opened | Refused | ClientGone> {
    const fault = checkPrompt(command.input);
    if (fault !== undefined) return { kind: 'refused', refusal: fault };
    const target = await this.#findTarget(command);
    if ('code' in target) return { kind: 'refused', refusal: target };
    const hold = await this.#reserve(command, target);
    if (!(hold instanceof Hold)) return { kind: 'refused', refusal: hold };
    if (signal.aborted) return this.#clientGone(hold);
    return this.#dispatch(command, target, hold, { stream, signal });
  }

  async #findTarget(command: InferenceCommand): Promise<Target | Refusal> {
    const { principal } = command;
    const agent = await this.#findAgent(command);
    if (agent === 'unavailable') return LEDGER_UNAVAILABLE;
    if (agent === undefined) {
      return { code: command.api === 'inference' ? 'agent_not_found' : 'model_not_found' };
    }
    const decision = resolvePool(agent, command.pool, principal);
    if (decision.ok) return { agent, tier: decision.tier, pool: decision.pool };
    return {
      code: 'pool_not_allowed',
      detail: `This key may use the pools ${decision.mayUse.join(', ')} of this agent.`,
    };
  }

  async #findAgent(command: InferenceCommand): Promise<Agent | undefined | 'unavailable'> {
    try {
      return await this.#options.agents.findAgent(command.principal.communityId, command.agent);
    } catch (error) {
      this.#options.events.failed(command.requestId, 'find_agent', error);
      return 'unavailable';
    }
  }

  /** Holds by the cheap bound; only if that alone is refused, once more by a real count. */
  async #reserve(command: InferenceCommand, target: Target): Promise<Hold | Refusal> {
    const request: HoldRequest = {
      reservationId: command.requestId,
      communityId: command.principal.communityId,
      apiKeyId: command.principal.keyId,
      nftId: target.agent.nftId,
      pool: target.pool,
      promptTokens: boundPromptTokens(command.input),
      maxTokens: command.maxTokens,
    };
    try {
      const decision = await this.#options.reservations.reserve(request);
      if (!isRefusedByBound(decision)) return this.#holdOf(decision, request);
      const promptTokens = await this.#options.counter.count(command.input);
      if (promptTokens === undefined || promptTokens >= request.promptTokens) {
        return this.#holdOf(decision, request);
      }
      const closer = { ...request, promptTokens };
      return this.#holdOf(await this.#options.reservations.reserve(closer), closer);
    } catch (error) {
      this.#options.events.failed(command.requestId, 'reserve', error);
      // A lost connection may hide a hold that was made: give it back when the ledger can be reached.
      void releaseQuietly(this.#holds, command.requestId, 'refused');
      return LEDGER_UNAVAILABLE;
    }
  }

  #holdOf(decision: HoldDecision, request: HoldRequest): Hold | Refusal {
    return decision.accepted
      ? new Hold(this.#holds, request.reservationId, decision.limits)
      : refusalOfHold(decision, request, this.#wallClockMs());
  }

  async #dispatch(
    command: InferenceCommand,
    target: Target,
    hold: Hold,
    { stream, signal }: { readonly stream: boolean; readonly signal: AbortSignal },
  ): Promise<Opened | Refused | ClientGone> {
    const dispatchedAtMs = this.#monotonicMs();
    const result = await this.#call(command, target, { stream, signal });
    if (result.kind === 'aborted') return this.#clientGone(hold);
    if (result.kind === 'streaming') {
      const { head: finn, body } = result;
      const head = {
        nftId: target.agent.nftId,
        pool: finn.poolUsed ?? target.pool,
        personalityId: finn.personalityId ?? '',
        contractVersion: finn.contractVersion ?? CONTRACT_VERSION,
        limits: hold.limits,
      };
      return { kind: 'opened', hold, head, finn, body, dispatchedAtMs };
    }
    if (result.kind === 'refused') {
      this.#options.events.refusedByFinn(command.requestId, result.status, result.code);
    }
    await hold.release(releaseReasonOf(result));
    return refused(refusalOfCall(result), hold);
  }

  async #call(
    command: InferenceCommand,
    target: Target,
    { stream, signal }: { readonly stream: boolean; readonly signal: AbortSignal },
  ): Promise<FinnCallResult> {
    const subject: S2STokenSubject = {
      nftId: target.agent.nftId,
      tier: target.tier,
      pool: target.pool,
      communityId: command.principal.communityId,
      reservationId: command.requestId,
    };
    try {
      return await this.#options.finn.call({
        requestId: command.requestId,
        pool: target.pool,
        body: toInferenceRequest(command, stream),
        sign: () => this.#options.tokens.sign(subject),
        signal,
      });
    } catch (error) {
      this.#options.events.failed(command.requestId, 'sign', error);
      return { kind: 'unavailable', reason: 'server_error', retryAfterSeconds: undefined };
    }
  }

  async #finishPlain(
    command: InferenceCommand,
    opened: Opened,
    signal: AbortSignal,
  ): Promise<AnswerResult> {
    const { hold, head, finn } = opened;
    const read = await readPlainAnswer(opened.body, signal);
    // From here to the client's socket nothing waits, so whoever is here now gets the answer.
    if (signal.aborted) return this.#clientGone(hold);
    if (!read.ok) {
      this.#options.events.streamBroke(command.requestId, read.reason);
      await hold.release(read.reason === 'timeout' ? 'timeout' : 'inference_failed');
      return refused(refusalOfEnd(read.reason), hold);
    }
    const { usage } = read.answer;
    hold.settle({
      carrier: 'response_header',
      promptTokens: usage.prompt_tokens,
      completionTokens: finn.tokenCount ?? usage.completion_tokens,
      ...this.#settlementOf(opened),
    });
    return { kind: 'answered', head, answer: read.answer };
  }

  async #relay(
    opened: Opened,
    client: ClientStream,
    encoder: StreamEncoder,
    beganAtMs: number,
  ): Promise<StreamResult> {
    const { hold, head, finn, body } = opened;
    const promptTokens = finn.promptTokens ?? 0;
    const { reservationId } = hold;
    this.#countStreams(1);
    const end = await relayStream({
      body,
      client,
      encoder,
      notePeriodMs: this.#options.notePeriodMs ?? DEFAULT_NOTE_PERIOD_MS,
      nowMs: this.#monotonicMs,
      problem: (code) => problem({ code, requestId: reservationId, detail: BROKEN_OFF }),
      onBegin: () => this.#options.events.firstToken((this.#monotonicMs() - beganAtMs) / 1000),
      onProgress: (completionTokens) =>
        this.#options.reservations.noteProgress({
          reservationId,
          promptTokens,
          completionTokens,
          poolUsed: head.pool,
        }),
    });
    this.#countStreams(-1);
    return this.#conclude(opened, end, promptTokens);
  }

  async #conclude(opened: Opened, end: RelayEnd, promptTokens: number): Promise<StreamResult> {
    const { hold, head } = opened;
    if (end.kind === 'done') {
      hold.settle({
        carrier: 'done_event',
        promptTokens: end.usage.prompt_tokens,
        completionTokens: end.usage.completion_tokens,
        ...this.#settlementOf(opened),
      });
      return { kind: 'streamed', head, end };
    }
    if (end.kind === 'failed') this.#options.events.streamBroke(hold.reservationId, end.reason);
    if (!end.began) {
      if (end.kind === 'client_gone') return this.#clientGone(hold);
      await hold.release(end.reason === 'timeout' ? 'timeout' : 'inference_failed');
      return refused(refusalOfEnd(end.reason), hold);
    }
    const tokenCount = end.kind === 'failed' ? end.tokenCount : undefined;
    if (tokenCount === undefined) {
      hold.leave({ promptTokens, completionTokens: end.tokens, poolUsed: head.pool });
    } else {
      hold.settle({
        carrier: 'response_header',
        promptTokens,
        completionTokens: tokenCount,
        ...this.#settlementOf(opened),
      });
    }
    return { kind: 'streamed', head, end };
  }

  #settlementOf({ head, dispatchedAtMs }: Opened) {
    return {
      poolUsed: head.pool,
      model: undefined,
      personalityId: head.personalityId === '' ? undefined : head.personalityId,
      latencyMs: Math.round(this.#monotonicMs() - dispatchedAtMs),
    };
  }

  async #clientGone(hold: Hold): Promise<ClientGone> {
    await hold.release('client_gone');
    return { kind: 'client_gone' };
  }

  #countStreams(change: 1 | -1): void {
    this.#activeStreams += change;
    this.#options.events.streamsChanged(this.#activeStreams);
  }
}

const BROKEN_OFF = 'The answer broke off; only what was delivered is charged.';

const LEDGER_UNAVAILABLE: Refusal = {
  code: 'service_unavailable',
  detail: 'The ledger cannot be reached; nothing was charged.',
  retryAfterSeconds: 1,
};

function isRefusedByBound(decision: HoldDecision): boolean {
  if (decision.accepted) return false;
  return decision.code === 'insufficient_credits' || decision.code === 'token_limit_reached';
}

function toInferenceRequest(command: InferenceCommand, stream: boolean): InferenceRequest {
  const { input, maxTokens: max_tokens } = command;
  return 'prompt' in input
    ? { prompt: input.prompt, max_tokens, stream }
    : { messages: [...input.messages], max_tokens, stream };
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

import {
  LIMITS,
  TIER_POOLS,
  type InferenceRequest,
  type Pool,
  type S2SClaims,
} from '@arrakis/contracts';
import { isUnavailable } from '@arrakis/postgres';
import type { WideFields } from '@arrakis/service-kit';
import type { FinnEvents } from '../../events.ts';
import { SpoolFullError, type Metering } from '../metering/metering.ts';
import type { Personality, PersonalityService } from '../personality/service.ts';
import type { Choice } from '../pools/pool.domain.ts';
import type { PoolService } from '../pools/service.ts';
import type { Target } from '../pools/target.ts';
import type { S2SAuthService } from '../s2s-auth/service.ts';
import { CallEnded, type Answer, type EndCause } from './answer.ts';
import { REFUSALS, unavailable, type Refusal } from './refusal.domain.ts';
import { conversation, findRequestFault } from './request.domain.ts';
import { InferenceRun, type RunEnd } from './run.ts';

export interface InferenceOptions {
  readonly auth: S2SAuthService;
  readonly personalities: PersonalityService;
  readonly pools: PoolService;
  readonly metering: Metering;
  readonly events: FinnEvents;
  /** For a whole inference, every attempt included. */
  readonly totalTimeoutMs: number;
  /** Monotonic. */
  readonly nowMs: () => number;
}

export interface InferenceCall {
  readonly claims: S2SClaims;
  readonly request: InferenceRequest;
  readonly answer: Answer;
  /** Adds to the request's log line. */
  readonly note: (fields: WideFields) => void;
}

interface Ready {
  readonly personality: Personality;
  readonly candidates: readonly Choice<Target>[];
}

/**
 * Answers under a reservation, once.
 *
 * The order is chosen for what a death in between leaves behind:
 *
 * 1. Everything that can refuse without a trace (pool, body, agent, breakers) comes first.
 * 2. Redis uses up token and reservation. Died after this: nothing ran; the hold lapses as an
 *    orphan. This comes before the journal, or a replayed token would journal, and later publish,
 *    usage for a reservation that another run is serving.
 * 3. The meter journals the start of an attempt. Died after this: a recovered event says that
 *    nothing was delivered.
 * 4. The provider is asked. Text is journaled as delivered only after the socket took it, so a
 *    death can lose a count in the customer's favour, never invent one.
 *
 * An attempt that failed before the first byte withdraws its journal entry; only after that is the
 * reservation given back, and only then does the caller learn of it and may retry.
 */
export class InferenceService {
  readonly #options: InferenceOptions;
  /** What is under way, with what breaks it off. */
  readonly #active = new Map<AbortController, Promise<Refusal | undefined>>();
  #isEnding = false;

  constructor(options: InferenceOptions) {
    this.#options = options;
  }

  /** `undefined` once the answer has been given, or nobody waits for it any more. */
  async answer(call: InferenceCall): Promise<Refusal | undefined> {
    const startedAtMs = this.#options.nowMs();
    const { events } = this.#options;
    const pool = call.claims.pool ?? TIER_POOLS[call.claims.tier].default;
    const prepared = await this.#prepare(call, pool);
    if ('refusal' in prepared) {
      const isBroken = prepared.refusal.code === 'inference_unavailable';
      events.inferenceEnded(pool, isBroken ? 'unavailable' : 'refused');
      return prepared.refusal;
    }
    if (call.answer.callerGone.aborted) return undefined;

    const refusal = await this.#consume(call.claims);
    if (refusal !== undefined) {
      events.inferenceEnded(pool, 'refused');
      return refusal;
    }
    if (this.#isEnding) {
      await this.#options.auth.release(call.claims);
      return REFUSALS.shuttingDown;
    }
    const control = new AbortController();
    const running = this.#runAndRelease(call, prepared, control, startedAtMs);
    this.#active.set(control, running);
    return running.finally(() => this.#active.delete(control));
  }

  /** Breaks off what is under way, when the process can't wait any longer, and counts it. */
  async endAll(): Promise<void> {
    this.#isEnding = true;
    for (const control of this.#active.keys()) control.abort(new CallEnded('shutdown'));
    await Promise.allSettled(this.#active.values());
  }

  async #prepare(
    { claims, request }: InferenceCall,
    pool: Pool,
  ): Promise<Ready | { readonly refusal: Refusal }> {
    const { personalities, pools } = this.#options;
    if (!TIER_POOLS[claims.tier].mayUse.includes(pool)) return { refusal: REFUSALS.poolNotAllowed };
    const fault = findRequestFault(request);
    if (fault !== undefined) return { refusal: fault };
    let personality: Personality | undefined;
    try {
      personality = await personalities.resolve(claims.nft_id, claims.community_id);
    } catch (error) {
      if (isUnavailable(error)) return { refusal: REFUSALS.storeAway };
      throw error;
    }
    if (personality === undefined) return { refusal: REFUSALS.agentNotFound };
    const candidates = pools.choices(claims.tier, pool);
    return pools.hasAvailable(candidates)
      ? { personality, candidates }
      : { refusal: unavailable(pools.retryAfterSeconds(candidates)) };
  }

  async #consume(claims: S2SClaims): Promise<Refusal | undefined> {
    const { auth, events } = this.#options;
    switch (await auth.consume(claims)) {
      case 'consumed':
        return undefined;
      case 'invalid_token':
        events.replayRefused('jti', claims.budget_reservation_id);
        return REFUSALS.tokenReused;
      case 'reservation_used':
        events.replayRefused('reservation', claims.budget_reservation_id);
        return REFUSALS.reservationUsed;
      case 'service_unavailable':
        return REFUSALS.storeAway;
    }
  }

  async #runAndRelease(
    call: InferenceCall,
    prepared: Ready,
    control: AbortController,
    startedAtMs: number,
  ): Promise<Refusal | undefined> {
    const end = await this.#run(call, prepared, control, startedAtMs);
    if (end.kind === 'answered') return undefined;
    await this.#options.auth.release(call.claims);
    return end.refusal;
  }

  async #run(
    { claims, request, answer, note }: InferenceCall,
    { personality, candidates }: Ready,
    control: AbortController,
    startedAtMs: number,
  ): Promise<RunEnd> {
    const { events, metering, nowMs, pools, totalTimeoutMs } = this.#options;
    const end = (why: EndCause) => () => control.abort(new CallEnded(why));
    const timer = setTimeout(end('timeout'), totalTimeoutMs - (nowMs() - startedAtMs));
    answer.callerGone.addEventListener('abort', end('caller_gone'), { once: true });
    if (answer.callerGone.aborted) end('caller_gone')();
    const run = new InferenceRun({
      claims,
      personalityId: personality.id,
      messages: conversation(request, personality.systemPrompt),
      maxTokens: request.max_tokens ?? LIMITS.defaultMaxTokens,
      answer,
      control,
      metering,
      events,
      nowMs,
      startedAtMs,
      note,
    });
    events.streamBegan();
    try {
      return await run.run(candidates, () => unavailable(pools.retryAfterSeconds(candidates)));
    } catch (error) {
      if (!(error instanceof SpoolFullError)) throw error;
      return { kind: 'nothing_done', refusal: REFUSALS.spoolFull };
    } finally {
      clearTimeout(timer);
      events.streamEnded();
    }
  }
}

import type { Pool, Tier } from '@arrakis/contracts';
import { resolvePool, type Agent } from '../agents/agent.domain.ts';
import { QueueFullError } from '../reservations/group-commit.ts';
import type {
  HoldDecision,
  HoldRequest,
  Reservations,
} from '../reservations/reservation.domain.ts';
import type { InferenceEvents } from './events.ts';
import { Hold, releaseQuietly, type HoldContext } from './hold.ts';
import type { InferenceCommand } from './inference.domain.ts';
import type { LedgerRetries } from './ledger-retries.ts';
import { boundPromptTokens, checkPrompt } from './prompt.domain.ts';
import { refusalOfHold, type Refusal } from './refusal.domain.ts';
import type { TokenCounter } from './token-count.ts';

export interface AdmissionOptions {
  readonly reservations: Reservations;
  readonly agents: { findAgent(communityId: string, ref: string): Promise<Agent | undefined> };
  readonly counter: Pick<TokenCounter, 'count'>;
  readonly retries: LedgerRetries;
  readonly events: Pick<InferenceEvents, 'failed' | 'ledgerDeferred'>;
  /** Milliseconds since the epoch. */
  readonly wallClockMs: () => number;
}

/** A request that may be served: who answers, where, and under which hold. */
export interface Admitted {
  readonly nftId: string;
  readonly tier: Tier;
  readonly pool: Pool;
  readonly hold: Hold;
}

type Target = Omit<Admitted, 'hold'>;

const LEDGER_UNAVAILABLE: Refusal = {
  code: 'service_unavailable',
  detail: 'The ledger cannot be reached; nothing was charged.',
  retryAfterSeconds: 1,
};

/** Decides whether a request is served, and holds its worst case if so. */
export class Admission {
  readonly #options: AdmissionOptions;
  readonly #holds: HoldContext;

  constructor(options: AdmissionOptions) {
    this.#options = options;
    this.#holds = options;
  }

  async admit(command: InferenceCommand): Promise<Admitted | Refusal> {
    const fault = checkPrompt(command.input);
    if (fault !== undefined) return fault;
    const target = await this.#findTarget(command);
    if ('code' in target) return target;
    const hold = await this.#reserve(command, target);
    return hold instanceof Hold ? { ...target, hold } : hold;
  }

  async #findTarget(command: InferenceCommand): Promise<Target | Refusal> {
    const { principal } = command;
    const agent = await this.#findAgent(command);
    if (agent === 'unavailable') return LEDGER_UNAVAILABLE;
    if (agent === undefined) {
      return { code: command.api === 'inference' ? 'agent_not_found' : 'model_not_found' };
    }
    const decision = resolvePool(agent, command.pool, principal);
    if (decision.ok) return { nftId: agent.nftId, tier: decision.tier, pool: decision.pool };
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
      nftId: target.nftId,
      pool: target.pool,
      promptTokens: boundPromptTokens(command.input),
      maxTokens: command.maxTokens,
    };
    try {
      const decision = await this.#options.reservations.reserve(request);
      if (!mayFitByCount(decision)) return this.#holdOf(decision, request);
      const promptTokens = await this.#options.counter.count(command.input);
      if (promptTokens === undefined || promptTokens >= request.promptTokens) {
        return this.#holdOf(decision, request);
      }
      const closer = { ...request, promptTokens };
      return this.#holdOf(await this.#options.reservations.reserve(closer), closer);
    } catch (error) {
      this.#options.events.failed(command.requestId, 'reserve', error);
      // A lost connection may hide a hold that was made: give it back when the ledger can be reached.
      if (mayHaveHeld(error)) void releaseQuietly(this.#holds, command.requestId, 'refused');
      return LEDGER_UNAVAILABLE;
    }
  }

  #holdOf(decision: HoldDecision, request: HoldRequest): Hold | Refusal {
    return decision.accepted
      ? new Hold(this.#holds, request.reservationId, decision.limits)
      : refusalOfHold(decision, request, this.#options.wallClockMs());
  }
}

/** Not what was never sent: releases of it would only add to what waits. */
function mayHaveHeld(error: unknown): boolean {
  return !(error instanceof Error && error.cause instanceof QueueFullError);
}

function mayFitByCount(decision: HoldDecision): boolean {
  if (decision.accepted) return false;
  return decision.code === 'insufficient_credits' || decision.code === 'token_limit_reached';
}

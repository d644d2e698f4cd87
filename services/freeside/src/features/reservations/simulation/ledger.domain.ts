import type { ModelReservation, NewLot } from '../ledger-model-books.domain.ts';
import type { BatchResult, LedgerModel } from '../ledger-model.domain.ts';
import type { HoldRequest } from '../reservation.domain.ts';
import type { SettlementInput } from '../settlement.domain.ts';
import type { Process } from './agenda.domain.ts';
import type { Fact } from './facts.domain.ts';
import { faultsOfBooks, LimitWatch } from './invariants.domain.ts';
import type { World } from './world.domain.ts';

/** One change of the books, for whoever wants to make the same changes elsewhere. */
export type LedgerOperation = { readonly atMs: number } & (
  | {
      readonly kind: 'batch';
      readonly settlements: readonly SettlementInput[];
      readonly holds: readonly HoldRequest[];
      readonly result: BatchResult;
    }
  | { readonly kind: 'mint'; readonly communityId: string; readonly lot: NewLot }
  | { readonly kind: 'revoke'; readonly keyId: string }
  | { readonly kind: 'expire' }
);

export interface Statement {
  readonly settlements: readonly SettlementInput[];
  readonly holds: readonly HoldRequest[];
}

const UNREACHABLE_MS = 20;
/** What a client waits for an answer, and how long a statement may be stuck behind a lock. */
const ANSWER_TIMEOUT_MS = 20_000;
const STUCK_MS = 60_000;
const CORRECTABLE_FOR_MS = 72 * 60 * 60_000;

/** The database as processes see it: far away, at times not there, and one commit after the other. */
export class Ledger {
  downUntilMs = 0;
  onHeld: () => void = () => undefined;
  readonly model: LedgerModel;
  readonly #world: World;
  readonly #facts = new Map<string, Fact>();
  readonly #watch = new LimitWatch();
  readonly #onCommit: (operation: LedgerOperation) => void;

  constructor(world: World, model: LedgerModel, onCommit: (operation: LedgerOperation) => void) {
    this.#world = world;
    this.model = model;
    this.#onCommit = onCommit;
  }

  know(fact: Fact): void {
    this.#facts.set(fact.request.reservationId, fact);
  }

  isReachable(process: Process): boolean {
    return this.#world.nowMs >= Math.max(process.cutOffUntilMs, this.downUntilMs);
  }

  /**
   * One statement of a process. `undefined` says that no answer came, and nothing of whether it was
   * applied: then, later, or never.
   */
  execute(
    process: Process,
    statement: Statement,
    answer: (result: BatchResult | undefined) => void,
  ): void {
    const world = this.#world;
    const { random, scenario } = world;
    const life = process.life;
    const fail = (delayMs: number): void =>
      world.after(delayMs, process, 'no answer of the ledger', () => answer(undefined), life);
    if (!this.isReachable(process)) {
      fail(UNREACHABLE_MS);
      return;
    }
    const fault = world.fault(scenario.statementFault)
      ? random.pick(['lost', 'unanswered', 'stuck'] as const)
      : undefined;
    if (fault === 'lost') {
      fail(world.latencyMs());
      return;
    }
    const isStuck = fault === 'stuck';
    if (isStuck) fail(random.pick([UNREACHABLE_MS, ANSWER_TIMEOUT_MS]));
    const commit = (): void => {
      // It went down while the statement was on its way.
      const result = world.nowMs < this.downUntilMs ? undefined : this.#commit(statement);
      if (isStuck) return;
      const isAnswered = fault !== 'unanswered' && result !== undefined;
      if (!isAnswered) fail(world.latencyMs());
      else {
        const deliver = (): void => answer(result);
        world.after(world.latencyMs(), process, 'answer of the ledger', deliver, life);
      }
    };
    world.after(
      isStuck ? random.between(1, STUCK_MS) : world.latencyMs(),
      undefined,
      'commit',
      commit,
    );
    // A statement with holds can't come twice: its ids are taken.
    if (statement.holds.length === 0 && world.fault(scenario.doubled)) {
      world.after(random.between(1, STUCK_MS), undefined, 'doubled commit', () =>
        this.#commit(statement),
      );
    }
  }

  mint(communityId: string, lot: NewLot): void {
    this.model.mint(communityId, lot);
    this.#onCommit({ kind: 'mint', atMs: this.#world.nowMs, communityId, lot });
    this.#check();
  }

  revoke(keyId: string): void {
    this.model.revokeKey(keyId);
    this.#onCommit({ kind: 'revoke', atMs: this.#world.nowMs, keyId });
  }

  expire(): void {
    this.model.expireLots(this.#world.nowMs);
    this.#onCommit({ kind: 'expire', atMs: this.#world.nowMs });
    this.#check();
  }

  /** The same once more, by whoever: at the end nothing may change by it. */
  repeat(settlements: readonly SettlementInput[]): void {
    this.#commit({ settlements, holds: [] });
  }

  #commit({ settlements, holds }: Statement): BatchResult {
    const { nowMs } = this.#world;
    for (const input of settlements) this.#noteApplied(input);
    const result = this.model.applyBatch(settlements, holds, nowMs);
    this.#onCommit({ kind: 'batch', atMs: nowMs, settlements, holds, result });
    settlements.forEach((input, index) => {
      const outcome = result.settlements[index]?.outcome;
      this.#tell(`${input.action} ${describe(input)}`, outcome);
    });
    holds.forEach((request, index) => {
      const outcome = result.holds[index]?.outcome;
      this.#tell(
        `hold ${request.reservationId} ${request.promptTokens}+${request.maxTokens}`,
        outcome,
      );
      if (outcome === 'accepted') this.#onAccepted(request);
    });
    this.#check();
    return result;
  }

  #onAccepted(request: HoldRequest): void {
    const fact = this.#facts.get(request.reservationId);
    if (fact !== undefined) fact.isHeld = true;
    const faults = this.#watch.faultsOfAccepted(this.model, request, this.#world.nowMs);
    for (const fault of faults) this.#world.violation(fault);
    this.onHeld();
  }

  #noteApplied(input: SettlementInput): void {
    if (input.action !== 'settle' && input.action !== 'release') return;
    const fact = this.#facts.get(input.reservationId);
    if (fact === undefined) return;
    if (fact.verdict.input === input) fact.verdict.isApplied = true;
    for (const { report } of fact.runs) if (report?.input === input) report.isApplied = true;
    const reservation = this.model.reservations.get(input.reservationId);
    if (reservation === undefined || fact.applied.some((known) => known.input === input)) return;
    fact.applied.push({ input, isTooLate: isTooLate(reservation, this.#world.nowMs) });
  }

  #check(): void {
    for (const community of this.model.communities.values()) {
      for (const fault of faultsOfBooks(community)) this.#world.violation(fault);
    }
  }

  #tell(what: string, outcome: string | undefined): void {
    if (this.#world.isTraced) this.#world.tell(`ledger: ${what} -> ${outcome ?? 'nothing'}`);
  }
}

/** Corrections have a term; the capture of what nobody has reported on has none. */
function isTooLate({ settledBy, endedAtMs }: ModelReservation, nowMs: number): boolean {
  return settledBy !== undefined && endedAtMs <= nowMs - CORRECTABLE_FOR_MS;
}

function describe(input: SettlementInput): string {
  const { reservationId, carrier, promptTokens, completionTokens } = input;
  if (carrier === undefined && promptTokens === undefined) return reservationId;
  return `${reservationId} ${carrier ?? ''} ${promptTokens ?? 0}+${completionTokens ?? 0}`;
}

import type { HoldRequest } from '../reservation.domain.ts';
import type { HoldVerdict, SettlementInput } from '../settlement.domain.ts';
import { Process } from './agenda.domain.ts';
import { newFact, type Fact } from './facts.domain.ts';
import type { Finn } from './finn.domain.ts';
import { Lanes } from './lanes.domain.ts';
import type { Ledger } from './ledger.domain.ts';
import { Retries } from './retries.domain.ts';
import { Served } from './served.domain.ts';
import type { Mortal, World } from './world.domain.ts';

/** What the retries of an unreachable ledger promise to hold out for. */
const LEAST_PATIENCE_MS = 300_000;

/** One freeside api: holds, has finn answer, passes on, settles; all it knows is in memory. */
export class Api implements Mortal {
  readonly process: Process;
  readonly finns: readonly Finn[];
  readonly #world: World;
  readonly #ledger: Ledger;
  #lanes: Lanes;
  #retries: Retries;
  readonly #served = new Set<Served>();
  /** Verdicts that the ledger has not confirmed. */
  readonly #unconfirmed = new Set<Fact>();

  constructor(world: World, name: string, ledger: Ledger, finns: readonly Finn[]) {
    this.#world = world;
    this.process = new Process(name);
    this.#ledger = ledger;
    this.finns = finns;
    this.#lanes = new Lanes(world, this.process, ledger);
    this.#retries = new Retries(world, this.process);
    world.add(this);
  }

  onDeath(): void {
    for (const served of this.#served) served.dropConnection();
    this.#served.clear();
    for (const fact of this.#unconfirmed) fact.verdict.lostBy = 'death of the api';
    this.#unconfirmed.clear();
  }

  onStart(): void {
    this.#lanes = new Lanes(this.#world, this.process, this.#ledger);
    this.#retries = new Retries(this.#world, this.process);
  }

  /** A client's request arrives. */
  serve(request: HoldRequest, isStream: boolean, leavesAfterMs: number | undefined): void {
    const world = this.#world;
    const fact = newFact(request, isStream);
    world.facts.push(fact);
    this.#ledger.know(fact);
    const served = new Served(world, this, fact);
    this.#served.add(served);
    if (leavesAfterMs !== undefined) {
      world.after(leavesAfterMs, this.process, 'client leaves', () => served.onClientGone());
    }
    this.#reserve(served, request);
  }

  ended(served: Served): void {
    this.#served.delete(served);
  }

  note(input: SettlementInput): void {
    this.#lanes.note(input);
  }

  /** Settles or releases, now or as soon as the ledger can be reached again. */
  conclude(fact: Fact, input: SettlementInput): void {
    const { verdict } = fact;
    if (verdict.input !== undefined) {
      this.#world.violation(`${input.reservationId}: a hold was given two ends`);
    }
    verdict.input = input;
    this.#unconfirmed.add(fact);
    const run = (done: (isDone: boolean) => void): void =>
      this.#lanes.settle(input, (result) => {
        if (result !== undefined) this.#unconfirmed.delete(fact);
        done(result !== undefined);
      });
    const beganAtMs = this.#world.nowMs;
    run((isDone) => {
      if (!isDone) this.#retries.add({ run, onGaveUp: () => this.#giveUp(fact, beganAtMs) });
    });
  }

  #giveUp(fact: Fact, beganAtMs: number): void {
    this.#unconfirmed.delete(fact);
    fact.verdict.lostBy = 'retries exhausted';
    if (this.#world.nowMs - beganAtMs < LEAST_PATIENCE_MS) {
      this.#world.violation(`${fact.request.reservationId}: given up before the jobs could act`);
    }
  }

  #reserve(served: Served, request: HoldRequest): void {
    this.#lanes.hold(request, (verdict) => {
      const closer = this.#closerCount(request, verdict);
      if (closer !== undefined) this.#reserve(served, closer);
      else if (verdict === undefined) served.onHoldUnknown();
      else if (verdict.outcome === 'accepted') served.onHeld();
      else served.onRefused();
    });
  }

  /** Holds by a cheap bound; if that alone is refused, once more by a real count. */
  #closerCount(request: HoldRequest, verdict: HoldVerdict | undefined): HoldRequest | undefined {
    if (verdict === undefined || request.promptTokens < COUNTED_ABOVE_TOKENS) return undefined;
    const { outcome } = verdict;
    if (outcome !== 'insufficient_credits' && outcome !== 'token_limit_reached') return undefined;
    return { ...request, promptTokens: COUNTED_ABOVE_TOKENS - 1 };
  }
}

/** Prompts above this are counted when their bound was refused. */
export const COUNTED_ABOVE_TOKENS = 300;

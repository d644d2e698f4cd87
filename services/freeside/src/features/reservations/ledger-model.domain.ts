import type { Pool } from '@arrakis/contracts';
import { priceTokens, type Micro, type TokenCount, type TokenPrice } from '@arrakis/money';
import {
  addLot,
  charge,
  emptyCommunity,
  expireLots,
  giveBack,
  NO_TOKENS,
  openReservation,
  refund,
  smaller,
  type ModelCarrier,
  type ModelCommunity,
  type ModelReservation,
  type NewLot,
} from './ledger-model-books.domain.ts';
import {
  adjustDay,
  countHold,
  dayEndsMs,
  dayOf,
  minuteEndsMs,
  openKey,
  windowsOf,
  type KeyWindows,
  type ModelKey,
} from './ledger-model-limits.domain.ts';
import { LedgerRules } from './ledger-model-rules.domain.ts';
import type { Carrier, HoldRequest, ReservationStatus } from './reservation.domain.ts';
import type {
  HoldVerdict,
  SettlementAction,
  SettlementInput,
  SettlementOutcome,
  SettlementResult,
} from './settlement.domain.ts';

export interface BatchResult {
  readonly settlements: readonly SettlementResult[];
  readonly holds: readonly HoldVerdict[];
}

export type ModelPrices = Readonly<Partial<Record<Pool, TokenPrice>>>;

/** What a closing is about. */
interface Closing {
  readonly status: ReservationStatus;
  readonly settledBy: ModelCarrier | undefined;
  readonly owedMicro: Micro;
  readonly count: TokenCount;
}

const PRICE_VERSION = 1;
/** Of several actions on one reservation in one batch the first of these decides. */
const PRECEDENCE: readonly SettlementAction[] = [
  'settle',
  'release',
  'reconcile',
  'orphan',
  'progress',
];
const RELEASED: Closing = {
  status: 'released',
  settledBy: 'not_delivered',
  owedMicro: 0n,
  count: NO_TOKENS,
};
const ORPHANED: Closing = { ...RELEASED, status: 'orphan_released', settledBy: undefined };

/**
 * The books in memory: what migrations 066 to 070 do in SQL, said once more in the plainest form.
 * Tests run the same histories through both and compare. Times are milliseconds since the epoch and
 * come from the caller. It changes in place: the simulator runs millions of histories through it.
 */
export class LedgerModel {
  readonly communities = new Map<string, ModelCommunity>();
  readonly keys = new Map<string, ModelKey>();
  readonly reservations = new Map<string, ModelReservation>();
  readonly #prices: ModelPrices;
  readonly #rules: LedgerRules;

  constructor(prices: ModelPrices, rules: LedgerRules = new LedgerRules()) {
    this.#prices = prices;
    this.#rules = rules;
  }

  openCommunity(id: string): void {
    this.communities.set(id, emptyCommunity(id));
  }

  openKey(key: Parameters<typeof openKey>[0]): void {
    this.keys.set(key.id, openKey(key));
  }

  revokeKey(id: string): void {
    const key = this.keys.get(id);
    if (key !== undefined) key.isActive = false;
  }

  mint(communityId: string, lot: NewLot): void {
    addLot(this.#community(communityId), lot);
  }

  expireLots(atMs: number): void {
    for (const community of this.communities.values()) expireLots(community, atMs);
  }

  /** Settlements first, then holds, each decided on its own and in order: one commit. */
  applyBatch(
    settlements: readonly SettlementInput[],
    holds: readonly HoldRequest[],
    atMs: number,
  ): BatchResult {
    return {
      settlements: settlements.length === 0 ? [] : this.#settleAll(settlements, atMs),
      holds: holds.map((request) => this.#hold(request, atMs)),
    };
  }

  /** What a count costs: nothing without an answer, never more than was held. */
  owedMicro(reservation: ModelReservation, count: TokenCount, pool: Pool | undefined): Micro {
    if (count.completionTokens === 0) return 0n;
    const price = this.#price(pool ?? reservation.request.pool);
    return smaller(reservation.holdMicro, priceTokens(price, count));
  }

  #hold(request: HoldRequest, atMs: number): HoldVerdict {
    const price = this.#price(request.pool);
    const worstCase = { promptTokens: request.promptTokens, completionTokens: request.maxTokens };
    const needMicro = priceTokens(price, worstCase);
    const tokens = heldTokens(request);
    const community = this.#community(request.communityId);
    const key = this.keys.get(request.apiKeyId);
    const windows = key === undefined ? undefined : windowsOf(key, atMs);
    const outcome = this.#decide(request, community, key, windows, tokens, needMicro);
    if (outcome === 'accepted' && key !== undefined && windows !== undefined) {
      const reservation = openReservation(community, request, needMicro, atMs);
      this.reservations.set(request.reservationId, reservation);
      countHold(key, windows, tokens, atMs);
    }
    return {
      outcome,
      requiredMicro: needMicro,
      availableMicro: community.availableMicro,
      priceVersion: PRICE_VERSION,
      promptPriceMicro: price.promptPriceMicro,
      completionPriceMicro: price.completionPriceMicro,
      limits: key === undefined ? undefined : limitsOf(key, atMs),
    };
  }

  #decide(
    request: HoldRequest,
    community: ModelCommunity,
    key: ModelKey | undefined,
    windows: KeyWindows | undefined,
    tokens: number,
    needMicro: Micro,
  ): HoldVerdict['outcome'] {
    const rules = this.#rules;
    if (key === undefined || windows === undefined) return 'invalid_api_key';
    if (!rules.mayUseKey(key, request)) return 'invalid_api_key';
    if (!rules.mayRequest(key, windows)) return 'rate_limited';
    if (!rules.mayUseTokens(key, windows, tokens)) return 'token_limit_reached';
    return rules.covers(community, needMicro) ? 'accepted' : 'insufficient_credits';
  }

  /** First what closes or notes, set by set as the SQL does; then those that were terminal before. */
  #settleAll(inputs: readonly SettlementInput[], atMs: number): SettlementResult[] {
    const outcomes = new Map<string, SettlementOutcome>();
    for (const input of inputs.length === 1 ? inputs : decisive(inputs)) {
      const reservation = this.reservations.get(input.reservationId);
      if (reservation !== undefined && this.#apply(reservation, input, atMs)) {
        outcomes.set(input.reservationId, reservation.status as SettlementOutcome);
      }
    }
    if (outcomes.size < inputs.length) {
      for (const input of inputs.filter((each) => !outcomes.has(each.reservationId))) {
        const reservation = this.reservations.get(input.reservationId);
        const outcome = reservation && this.#applyLate(reservation, input, atMs);
        if (outcome !== undefined) outcomes.set(input.reservationId, outcome);
      }
    }
    return inputs.map(({ reservationId: id }) => this.#result(id, outcomes.get(id)));
  }

  #result(id: string, outcome: SettlementOutcome = 'unchanged'): SettlementResult {
    const reservation = this.reservations.get(id);
    if (reservation === undefined) {
      return { outcome: 'unknown', chargeMicro: 0n, writtenOffMicro: 0n };
    }
    const { chargeMicro, writtenOffMicro } = reservation;
    const isLate = outcome === 'late_captured' || outcome === 'corrected';
    return { outcome, chargeMicro, writtenOffMicro: isLate ? writtenOffMicro : 0n };
  }

  /** Whether an open hold was closed or noted. */
  #apply(reservation: ModelReservation, input: SettlementInput, atMs: number): boolean {
    if (!this.#mayApply(reservation, input.action, atMs)) return false;
    switch (input.action) {
      case 'settle':
        return this.#capture(reservation, input, atMs);
      case 'release':
        return this.#close(reservation, RELEASED, atMs);
      case 'orphan':
        return this.#close(reservation, ORPHANED, atMs);
      case 'reconcile':
        return this.#reconcile(reservation, atMs);
      case 'progress':
        return note(reservation, input, atMs);
    }
  }

  #mayApply(reservation: ModelReservation, action: SettlementAction, atMs: number): boolean {
    if (action === 'orphan') return this.#rules.isOrphan(reservation, atMs);
    if (action === 'reconcile') return this.#rules.isQuiet(reservation, atMs);
    return this.#rules.isOpen(reservation);
  }

  #capture(reservation: ModelReservation, input: SettlementInput, atMs: number): true {
    const settledBy = input.carrier as Carrier;
    // The journal of a killed finn may lag what the relay saw: the larger is the proven one.
    const count =
      settledBy === 'journal' ? largest(countOf(input), reservation.relayed) : countOf(input);
    const owedMicro = this.owedMicro(reservation, count, input.poolUsed);
    // A journal can only tell what is proven: at zero a better count may still correct it.
    const status = owedMicro > 0n || settledBy === 'journal' ? 'finalized' : 'released';
    return this.#close(reservation, { status, settledBy, owedMicro, count }, atMs);
  }

  #reconcile(reservation: ModelReservation, atMs: number): true {
    const { relayed: count, relayedPool } = reservation;
    const owedMicro = this.owedMicro(reservation, count, relayedPool);
    const closing: Closing = { status: 'finalized', settledBy: 'reconciliation', owedMicro, count };
    return this.#close(reservation, closing, atMs);
  }

  #close(reservation: ModelReservation, closing: Closing, atMs: number): true {
    const { status, settledBy, owedMicro, count } = closing;
    const community = this.#communityOf(reservation);
    giveBack(community, reservation);
    charge(community, reservation, owedMicro);
    reservation.status = status;
    reservation.settledBy = settledBy;
    reservation.endedAtMs = atMs;
    reservation.usedTokens = heldTokens(reservation.request);
    this.#recount(reservation, count);
    return true;
  }

  /** A count or a release for a hold that was terminal before; undefined when nothing changes. */
  #applyLate(
    reservation: ModelReservation,
    input: SettlementInput,
    atMs: number,
  ): SettlementOutcome | undefined {
    const rules = this.#rules;
    if (input.action === 'release') {
      if (rules.mayTakeBack(reservation)) {
        return this.#correct(reservation, 0n, NO_TOKENS, 'not_delivered');
      }
      // Given back as an orphan before this word came: no later count may charge for it.
      reservation.settledBy ??= 'not_delivered';
      return undefined;
    }
    if (input.action !== 'settle') return undefined;
    const carrier = input.carrier as Carrier;
    const count = countOf(input);
    const owedMicro = this.owedMicro(reservation, count, input.poolUsed);
    if (rules.mayCaptureLate(reservation)) {
      return owedMicro === 0n
        ? undefined
        : this.#captureLate(reservation, carrier, count, owedMicro);
    }
    if (!rules.mayCorrect(reservation, carrier, count, atMs)) return undefined;
    return this.#correct(reservation, owedMicro, count, carrier);
  }

  #captureLate(
    reservation: ModelReservation,
    carrier: Carrier,
    count: TokenCount,
    owedMicro: Micro,
  ): SettlementOutcome {
    charge(this.#communityOf(reservation), reservation, owedMicro);
    reservation.settledBy = carrier;
    this.#recount(reservation, count);
    return 'late_captured';
  }

  #correct(
    reservation: ModelReservation,
    owedMicro: Micro,
    count: TokenCount,
    carrier: ModelCarrier,
  ): SettlementOutcome {
    const community = this.#communityOf(reservation);
    const difference = owedMicro - reservation.chargeMicro;
    if (difference >= 0n) charge(community, reservation, difference);
    else refund(community, reservation, -difference);
    reservation.settledBy = carrier;
    this.#recount(reservation, count);
    return 'corrected';
  }

  /** Another count stands: the day of its key changes by the difference. */
  #recount(reservation: ModelReservation, count: TokenCount): void {
    const used = usedTokens(reservation.request, count);
    this.#adjustDay(reservation, used - reservation.usedTokens);
    reservation.usedTokens = used;
  }

  #adjustDay({ request, createdAtMs }: ModelReservation, tokens: number): void {
    const key = this.keys.get(request.apiKeyId);
    if (key !== undefined) adjustDay(key, dayOf(createdAtMs), tokens);
  }

  #communityOf(reservation: ModelReservation): ModelCommunity {
    return this.#community(reservation.request.communityId);
  }

  #community(id: string): ModelCommunity {
    const community = this.communities.get(id);
    if (community === undefined) throw new Error(`no community ${id}`);
    return community;
  }

  #price(pool: Pool): TokenPrice {
    const price = this.#prices[pool];
    if (price === undefined) throw new Error(`pool ${pool} has no price`);
    return price;
  }
}

function note(reservation: ModelReservation, input: SettlementInput, atMs: number): true {
  reservation.status = 'streaming';
  reservation.relayed = largest(reservation.relayed, countOf(input));
  reservation.relayedPool = input.poolUsed ?? reservation.relayedPool;
  reservation.quietSinceMs = atMs;
  return true;
}

/** One input a reservation, in the order of the batch. */
function decisive(inputs: readonly SettlementInput[]): SettlementInput[] {
  const best = new Map<string, SettlementInput>();
  for (const input of inputs) {
    const known = best.get(input.reservationId);
    if (known === undefined || precedence(input) < precedence(known)) {
      best.set(input.reservationId, input);
    }
  }
  return inputs.filter((input) => best.get(input.reservationId) === input);
}

function precedence(input: SettlementInput): number {
  return PRECEDENCE.indexOf(input.action);
}

function countOf({ promptTokens = 0, completionTokens = 0 }: SettlementInput): TokenCount {
  return { promptTokens, completionTokens };
}

function heldTokens({ promptTokens, maxTokens }: HoldRequest): number {
  return promptTokens + maxTokens;
}

/** Nothing without an answer, never more than was held for. */
function usedTokens(request: HoldRequest, { promptTokens, completionTokens }: TokenCount): number {
  if (completionTokens === 0) return 0;
  return Math.min(heldTokens(request), promptTokens + completionTokens);
}

function limitsOf(key: ModelKey, atMs: number): HoldVerdict['limits'] {
  const windows = windowsOf(key, atMs);
  return {
    requestsPerMinute: key.requestsPerMinute,
    requestsUsed: windows.requests,
    requestsResetAt: minuteEndsMs(windows),
    tokensPerDay: key.tokensPerDay,
    tokensUsed: windows.tokens,
    tokensResetAt: dayEndsMs(atMs),
  };
}

function largest(a: TokenCount, b: TokenCount): TokenCount {
  return {
    promptTokens: Math.max(a.promptTokens, b.promptTokens),
    completionTokens: Math.max(a.completionTokens, b.completionTokens),
  };
}

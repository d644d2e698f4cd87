import type { ModelCommunity, ModelLot, ModelReservation } from '../ledger-model-books.domain.ts';
import { dayOf, type ModelKey } from '../ledger-model-limits.domain.ts';
import type { LedgerModel } from '../ledger-model.domain.ts';
import type { HoldRequest } from '../reservation.domain.ts';

const TERMINAL: ReadonlySet<string> = new Set(['finalized', 'released', 'orphan_released']);
const MINUTE_MS = 60_000;

export function isTerminal({ status }: ModelReservation): boolean {
  return TERMINAL.has(status);
}

/** The equations of migration 068 and the constraints of 005, 006 and 064; each that fails, in words. */
export function faultsOfBooks(community: ModelCommunity): string[] {
  const { availableMicro, heldMicro, spentMicro, expiredMicro, lots, reservations } = community;
  const faults: string[] = [];
  let open = 0n;
  let charged = 0n;
  let writtenOff = 0n;
  for (const reservation of reservations) {
    if (!isTerminal(reservation)) open += reservation.holdMicro;
    charged += reservation.chargeMicro;
    writtenOff += reservation.writtenOffMicro;
    addFaultsOfReservation(reservation, faults);
  }
  let minted = 0n;
  let remaining = 0n;
  for (const lot of lots) {
    minted += lot.originalMicro;
    remaining += lot.remainingMicro;
    addFaultsOfLot(lot, reservations, faults);
  }
  const least = [availableMicro, heldMicro, spentMicro, expiredMicro].every((each) => each >= 0n);
  const owned = availableMicro + heldMicro;
  const check = (holds: boolean, fault: string): void => {
    if (!holds) faults.push(fault);
  };
  check(least, 'a balance is negative');
  check(minted === owned + spentMicro + expiredMicro, 'the accounts do not sum to zero');
  check(open === heldMicro, 'held is not what open holds hold');
  check(remaining === owned, 'the lots are not what is available and held');
  check(charged === spentMicro, 'spent is not what reservations were charged');
  check(writtenOff === community.writtenOffMicro, 'written off is not the sum of its parts');
  return faults;
}

function addFaultsOfLot(
  lot: ModelLot,
  reservations: readonly ModelReservation[],
  faults: string[],
): void {
  let left = lot.originalMicro - lot.expiredMicro;
  for (const { paidBy } of reservations) left -= paidBy.get(lot) ?? 0n;
  if (left !== lot.remainingMicro || left < 0n) {
    faults.push(`${lot.id}: not what its payments leave of it`);
  }
}

function addFaultsOfReservation(reservation: ModelReservation, faults: string[]): void {
  const { status, holdMicro, chargeMicro, closings, paidBy } = reservation;
  const name = reservation.request.reservationId;
  let paid = 0n;
  for (const amount of paidBy.values()) paid += amount;
  if (paid !== chargeMicro) faults.push(`${name}: its lots paid something else than its charge`);
  if (chargeMicro < 0n || chargeMicro > holdMicro) {
    faults.push(`${name}: charged beyond the hold`);
  }
  if (closings !== (TERMINAL.has(status) ? 1 : 0)) faults.push(`${name}: closed ${closings} times`);
  if (chargeMicro > 0n && status !== 'finalized' && status !== 'orphan_released') {
    faults.push(`${name}: charged as ${status}`);
  }
}

/** Watches what is accepted on a key, by its own bookkeeping. */
export class LimitWatch {
  readonly #minutes = new Map<string, { startedMs: number; requests: number }>();
  /** After a hold was accepted: what it should not have been accepted for. */
  faultsOfAccepted(model: LedgerModel, request: HoldRequest, atMs: number): string[] {
    const { reservationId: name } = request;
    const key = model.keys.get(request.apiKeyId);
    if (key === undefined) return [`${name}: accepted on an unknown key`];
    const faults: string[] = [];
    if (!key.isActive) faults.push(`${name}: accepted on a revoked key`);
    if (this.#countRequest(key.id, atMs) > key.requestsPerMinute) {
      faults.push(`${name}: accepted beyond the requests of a minute`);
    }
    if (tokensOfDay(model, key, dayOf(atMs)) > key.tokensPerDay) {
      faults.push(`${name}: accepted beyond the tokens of a day`);
    }
    return faults;
  }

  #countRequest(keyId: string, atMs: number): number {
    const minute = this.#minutes.get(keyId);
    if (minute !== undefined && atMs < minute.startedMs + MINUTE_MS) return ++minute.requests;
    this.#minutes.set(keyId, { startedMs: atMs, requests: 1 });
    return 1;
  }
}

/** Worst cases of open holds, and of those that have ended what was used. */
function tokensOfDay(model: LedgerModel, key: ModelKey, day: number): number {
  let tokens = 0;
  for (const reservation of model.communities.get(key.communityId)?.reservations ?? []) {
    const { request, createdAtMs } = reservation;
    if (request.apiKeyId !== key.id || dayOf(createdAtMs) !== day) continue;
    tokens += isTerminal(reservation)
      ? reservation.usedTokens
      : request.promptTokens + request.maxTokens;
  }
  return tokens;
}

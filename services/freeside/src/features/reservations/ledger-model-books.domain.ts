import type { Pool } from '@arrakis/contracts';
import type { Micro, TokenCount } from '@arrakis/money';
import type { Carrier, HoldRequest, ReservationStatus } from './reservation.domain.ts';

/** What the model keeps of a community, its lots and its reservations; times in milliseconds. */
export interface ModelLot {
  readonly id: string;
  readonly originalMicro: Micro;
  /** Lots without an expiry are used last. */
  readonly expiresAtMs: number | undefined;
  remainingMicro: Micro;
  expiredMicro: Micro;
}

export interface ModelReservation {
  readonly request: HoldRequest;
  readonly holdMicro: Micro;
  readonly createdAtMs: number;
  status: ReservationStatus;
  chargeMicro: Micro;
  writtenOffMicro: Micro;
  settledBy: ModelCarrier | undefined;
  relayed: TokenCount;
  relayedPool: Pool | undefined;
  quietSinceMs: number;
  endedAtMs: number;
  /** Of the count that stands, once the hold has ended. */
  usedTokens: number;
  /** Terminal transitions so far: never more than one. */
  closings: number;
  /** What each lot has paid, corrections included. */
  readonly paidBy: Map<ModelLot, Micro>;
}

export type ModelCarrier = Carrier | 'not_delivered';

export interface ModelCommunity {
  readonly id: string;
  availableMicro: Micro;
  heldMicro: Micro;
  spentMicro: Micro;
  expiredMicro: Micro;
  writtenOffMicro: Micro;
  /** First-expiring first; among equals, first minted first. */
  readonly lots: ModelLot[];
  readonly reservations: ModelReservation[];
}

export const NO_TOKENS: TokenCount = { promptTokens: 0, completionTokens: 0 };

export function emptyCommunity(id: string): ModelCommunity {
  return {
    id,
    availableMicro: 0n,
    heldMicro: 0n,
    spentMicro: 0n,
    expiredMicro: 0n,
    writtenOffMicro: 0n,
    lots: [],
    reservations: [],
  };
}

export interface NewLot {
  readonly id: string;
  readonly amountMicro: Micro;
  readonly expiresAtMs: number | undefined;
}

export function addLot(community: ModelCommunity, lot: NewLot): void {
  const { lots } = community;
  const expiry = lot.expiresAtMs ?? Infinity;
  const at = lots.findIndex((other) => (other.expiresAtMs ?? Infinity) > expiry);
  lots.splice(at === -1 ? lots.length : at, 0, {
    id: lot.id,
    originalMicro: lot.amountMicro,
    remainingMicro: lot.amountMicro,
    expiresAtMs: lot.expiresAtMs,
    expiredMicro: 0n,
  });
  community.availableMicro += lot.amountMicro;
}

/** Expired lots lose what no hold needs. */
export function expireLots(community: ModelCommunity, atMs: number): void {
  for (const lot of community.lots) {
    if (lot.expiresAtMs === undefined || lot.expiresAtMs > atMs) continue;
    const take = smaller(lot.remainingMicro, community.availableMicro);
    lot.remainingMicro -= take;
    lot.expiredMicro += take;
    community.availableMicro -= take;
    community.expiredMicro += take;
  }
}

/** Available → held, the worst case. */
export function openReservation(
  community: ModelCommunity,
  request: HoldRequest,
  holdMicro: Micro,
  createdAtMs: number,
): ModelReservation {
  const reservation: ModelReservation = {
    request,
    holdMicro,
    createdAtMs,
    status: 'reserved',
    chargeMicro: 0n,
    writtenOffMicro: 0n,
    settledBy: undefined,
    relayed: NO_TOKENS,
    relayedPool: undefined,
    quietSinceMs: createdAtMs,
    endedAtMs: Infinity,
    usedTokens: 0,
    closings: 0,
    paidBy: new Map(),
  };
  community.reservations.push(reservation);
  community.availableMicro -= holdMicro;
  community.heldMicro += holdMicro;
  return reservation;
}

/** Held → available, all of it; what is owed is charged from there in the same breath. */
export function giveBack(community: ModelCommunity, reservation: ModelReservation): void {
  community.heldMicro -= reservation.holdMicro;
  community.availableMicro += reservation.holdMicro;
  reservation.closings += 1;
}

/** Available → spent, as far as it goes; the rest is written off, once. */
export function charge(
  community: ModelCommunity,
  reservation: ModelReservation,
  owedMicro: Micro,
): void {
  const paid = smaller(owedMicro, community.availableMicro);
  const short = owedMicro - paid - reservation.writtenOffMicro;
  const writtenOff = short > 0n ? short : 0n;
  let missing = paid;
  for (const lot of community.lots) {
    const share = smaller(missing, lot.remainingMicro);
    if (share === 0n) continue;
    missing -= share;
    lot.remainingMicro -= share;
    reservation.paidBy.set(lot, (reservation.paidBy.get(lot) ?? 0n) + share);
  }
  community.availableMicro -= paid;
  community.spentMicro += paid;
  community.writtenOffMicro += writtenOff;
  reservation.chargeMicro += paid;
  reservation.writtenOffMicro += writtenOff;
}

/** Spent → available, to the lots that paid, last-expiring first. */
export function refund(
  community: ModelCommunity,
  reservation: ModelReservation,
  amountMicro: Micro,
): void {
  let missing = amountMicro;
  for (const lot of community.lots.toReversed()) {
    const paid = reservation.paidBy.get(lot) ?? 0n;
    const share = smaller(missing, paid);
    missing -= share;
    lot.remainingMicro += share;
    reservation.paidBy.set(lot, paid - share);
  }
  community.availableMicro += amountMicro;
  community.spentMicro -= amountMicro;
  reservation.chargeMicro -= amountMicro;
}

export function smaller(a: Micro, b: Micro): Micro {
  return a < b ? a : b;
}

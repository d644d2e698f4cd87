import { priceTokens, type Micro, type TokenCount, type TokenPrice } from '@arrakis/money';
import type { ReservationStatus } from './reservation.domain.ts';

/**
 * The books of one community as a pure value: what migrations 066 and 067 do in SQL, said once more
 * in the plainest form. Tests run the same history through both and compare. Time is a number of
 * seconds that the caller supplies.
 */
export interface ModelLot {
  readonly id: string;
  readonly originalMicro: Micro;
  readonly remainingMicro: Micro;
  /** Seconds; lots without an expiry are used last. */
  readonly expiresAt: number | undefined;
}

export interface ModelReservation {
  readonly id: string;
  readonly status: ReservationStatus;
  readonly price: TokenPrice;
  readonly holdMicro: Micro;
  readonly chargeMicro: Micro;
  readonly relayed: TokenCount;
  readonly settledBy: ModelCarrier | undefined;
  readonly createdAt: number;
  readonly quietSince: number;
  /** What each lot has paid, corrections included. */
  readonly paidBy: ReadonlyMap<string, Micro>;
  readonly writtenOffMicro: Micro;
}

export type ModelCarrier = 'final' | 'journal' | 'reconciliation' | 'not_delivered';

export interface ModelBooks {
  readonly availableMicro: Micro;
  readonly heldMicro: Micro;
  readonly spentMicro: Micro;
  readonly expiredMicro: Micro;
  readonly writtenOffMicro: Micro;
  readonly lots: readonly ModelLot[];
  readonly reservations: ReadonlyMap<string, ModelReservation>;
}

export const EMPTY_BOOKS: ModelBooks = {
  availableMicro: 0n,
  heldMicro: 0n,
  spentMicro: 0n,
  expiredMicro: 0n,
  writtenOffMicro: 0n,
  lots: [],
  reservations: new Map(),
};

const ORPHAN_AFTER_SECONDS = 300;
const QUIET_AFTER_SECONDS = 120;
const AUTHORITY: Record<ModelCarrier, number> = {
  reconciliation: 1,
  journal: 2,
  final: 3,
  not_delivered: 4,
};

export function mint(books: ModelBooks, lot: Omit<ModelLot, 'remainingMicro'>): ModelBooks {
  return {
    ...books,
    availableMicro: books.availableMicro + lot.originalMicro,
    lots: [...books.lots, { ...lot, remainingMicro: lot.originalMicro }],
  };
}

/** Unchanged when the balance does not cover the worst case. */
export function hold(
  books: ModelBooks,
  request: { id: string; price: TokenPrice; worstCase: TokenCount; at: number },
): ModelBooks {
  const holdMicro = priceTokens(request.price, request.worstCase);
  if (books.availableMicro < holdMicro) return books;
  const reservation: ModelReservation = {
    id: request.id,
    status: 'reserved',
    price: request.price,
    holdMicro,
    chargeMicro: 0n,
    relayed: { promptTokens: 0, completionTokens: 0 },
    settledBy: undefined,
    createdAt: request.at,
    quietSince: request.at,
    paidBy: new Map(),
    writtenOffMicro: 0n,
  };
  return withReservation(
    {
      ...books,
      availableMicro: books.availableMicro - holdMicro,
      heldMicro: books.heldMicro + holdMicro,
    },
    reservation,
  );
}

export function noteProgress(
  books: ModelBooks,
  id: string,
  relayed: TokenCount,
  at: number,
): ModelBooks {
  const reservation = books.reservations.get(id);
  if (reservation === undefined || !isOpen(reservation)) return books;
  return withReservation(books, {
    ...reservation,
    status: 'streaming',
    relayed: largest(reservation.relayed, relayed),
    quietSince: at,
  });
}

/** A count over a carrier: settles an open hold, captures late, corrects, or changes nothing. */
export function settle(
  books: ModelBooks,
  id: string,
  carrier: 'final' | 'journal',
  count: TokenCount,
): ModelBooks {
  const reservation = books.reservations.get(id);
  if (reservation === undefined) return books;
  if (isOpen(reservation)) return capture(books, reservation, carrier, count);
  const owed = owedFor(reservation, count);
  if (reservation.status === 'orphan_released' && reservation.settledBy === undefined) {
    return owed === 0n ? books : charge(books, reservation, owed, carrier);
  }
  return mayCorrect(reservation, carrier, count)
    ? correct(books, reservation, owed, carrier)
    : books;
}

function capture(
  books: ModelBooks,
  reservation: ModelReservation,
  carrier: 'final' | 'journal',
  count: TokenCount,
): ModelBooks {
  const proven = carrier === 'journal' ? largest(count, reservation.relayed) : count;
  const owed = owedFor(reservation, proven);
  return close(books, reservation, owed > 0n ? 'finalized' : 'released', owed, carrier);
}

function mayCorrect(
  reservation: ModelReservation,
  carrier: 'final' | 'journal',
  count: TokenCount,
): boolean {
  const { status, settledBy, relayed } = reservation;
  if (status !== 'finalized' || settledBy === undefined) return false;
  const showsLess = carrier === 'journal' && count.completionTokens <= relayed.completionTokens;
  return AUTHORITY[carrier] > AUTHORITY[settledBy] && !showsLess;
}

/** Nothing reached the client. */
export function release(books: ModelBooks, id: string): ModelBooks {
  const reservation = books.reservations.get(id);
  if (reservation === undefined) return books;
  if (isOpen(reservation)) return close(books, reservation, 'released', 0n, 'not_delivered');
  if (reservation.status !== 'finalized' || reservation.settledBy === 'not_delivered') return books;
  return correct(books, reservation, 0n, 'not_delivered');
}

export function releaseOrphan(books: ModelBooks, id: string, at: number): ModelBooks {
  const reservation = books.reservations.get(id);
  const due =
    reservation?.status === 'reserved' && reservation.createdAt < at - ORPHAN_AFTER_SECONDS;
  return due ? close(books, reservation, 'orphan_released', 0n, undefined) : books;
}

export function reconcile(books: ModelBooks, id: string, at: number): ModelBooks {
  const reservation = books.reservations.get(id);
  const due =
    reservation?.status === 'streaming' && reservation.quietSince < at - QUIET_AFTER_SECONDS;
  if (!due) return books;
  const owed = owedFor(reservation, reservation.relayed);
  return close(books, reservation, 'finalized', owed, 'reconciliation');
}

/** Expired lots lose what no hold needs. */
export function expire(books: ModelBooks, at: number): ModelBooks {
  let { availableMicro, expiredMicro } = books;
  const lots = new Map(books.lots.map((lot) => [lot.id, lot]));
  for (const lot of firstExpiringFirst(books.lots)) {
    if (lot.expiresAt === undefined || lot.expiresAt > at) continue;
    const take = smaller(lot.remainingMicro, availableMicro);
    availableMicro -= take;
    expiredMicro += take;
    lots.set(lot.id, { ...lot, remainingMicro: lot.remainingMicro - take });
  }
  return { ...books, availableMicro, expiredMicro, lots: [...lots.values()] };
}

function close(
  books: ModelBooks,
  reservation: ModelReservation,
  status: ReservationStatus,
  owed: Micro,
  settledBy: ModelCarrier | undefined,
): ModelBooks {
  const returned = {
    ...books,
    heldMicro: books.heldMicro - reservation.holdMicro,
    availableMicro: books.availableMicro + reservation.holdMicro,
  };
  return charge(returned, { ...reservation, status, settledBy }, owed, settledBy);
}

/** Takes what is owed from the balance and the lots; what they don't cover is written off. */
function charge(
  books: ModelBooks,
  reservation: ModelReservation,
  owed: Micro,
  settledBy: ModelCarrier | undefined,
): ModelBooks {
  const paid = smaller(owed, books.availableMicro);
  const writtenOff = larger(0n, owed - paid - reservation.writtenOffMicro);
  const lots = new Map(books.lots.map((lot) => [lot.id, lot]));
  const paidBy = new Map(reservation.paidBy);
  let missing = paid;
  for (const lot of firstExpiringFirst(books.lots)) {
    const share = smaller(missing, lot.remainingMicro);
    if (share === 0n) continue;
    missing -= share;
    lots.set(lot.id, { ...lot, remainingMicro: lot.remainingMicro - share });
    paidBy.set(lot.id, (paidBy.get(lot.id) ?? 0n) + share);
  }
  return withReservation(
    {
      ...books,
      availableMicro: books.availableMicro - paid,
      spentMicro: books.spentMicro + paid,
      writtenOffMicro: books.writtenOffMicro + writtenOff,
      lots: [...lots.values()],
    },
    {
      ...reservation,
      chargeMicro: reservation.chargeMicro + paid,
      writtenOffMicro: reservation.writtenOffMicro + writtenOff,
      settledBy,
      paidBy,
    },
  );
}

function correct(
  books: ModelBooks,
  reservation: ModelReservation,
  owed: Micro,
  carrier: ModelCarrier,
): ModelBooks {
  const difference = owed - reservation.chargeMicro;
  return difference >= 0n
    ? charge(books, reservation, difference, carrier)
    : refund(books, reservation, -difference, carrier);
}

/** Back to the lots that paid, last-expiring first. */
function refund(
  books: ModelBooks,
  reservation: ModelReservation,
  amount: Micro,
  carrier: ModelCarrier,
): ModelBooks {
  const lots = new Map(books.lots.map((lot) => [lot.id, lot]));
  const paidBy = new Map(reservation.paidBy);
  let missing = amount;
  for (const lot of firstExpiringFirst(books.lots).reverse()) {
    const share = smaller(missing, paidBy.get(lot.id) ?? 0n);
    missing -= share;
    lots.set(lot.id, { ...lot, remainingMicro: lot.remainingMicro + share });
    paidBy.set(lot.id, (paidBy.get(lot.id) ?? 0n) - share);
  }
  return withReservation(
    {
      ...books,
      availableMicro: books.availableMicro + amount,
      spentMicro: books.spentMicro - amount,
      lots: [...lots.values()],
    },
    { ...reservation, chargeMicro: reservation.chargeMicro - amount, settledBy: carrier, paidBy },
  );
}

function owedFor(reservation: ModelReservation, count: TokenCount): Micro {
  if (count.completionTokens === 0) return 0n;
  return smaller(reservation.holdMicro, priceTokens(reservation.price, count));
}

export function firstExpiringFirst(lots: readonly ModelLot[]): ModelLot[] {
  // Lots are kept in the order in which they were minted, and sort is stable.
  return lots.toSorted((a, b) => (a.expiresAt ?? Infinity) - (b.expiresAt ?? Infinity) || 0);
}

function isOpen(reservation: ModelReservation): boolean {
  return reservation.status === 'reserved' || reservation.status === 'streaming';
}

function withReservation(books: ModelBooks, reservation: ModelReservation): ModelBooks {
  return {
    ...books,
    reservations: new Map(books.reservations).set(reservation.id, reservation),
  };
}

function largest(a: TokenCount, b: TokenCount): TokenCount {
  return {
    promptTokens: Math.max(a.promptTokens, b.promptTokens),
    completionTokens: Math.max(a.completionTokens, b.completionTokens),
  };
}

function smaller(a: Micro, b: Micro): Micro {
  return a < b ? a : b;
}

function larger(a: Micro, b: Micro): Micro {
  return a > b ? a : b;
}

import { priceTokens } from '@arrakis/money';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  EMPTY_BOOKS,
  expire,
  hold,
  mint,
  noteProgress,
  reconcile,
  release,
  releaseOrphan,
  settle,
  type ModelBooks,
} from './ledger-model.domain.ts';

const price = { promptPriceMicro: 150_000n, completionPriceMicro: 600_000n };
const tokens = fc.record({
  promptTokens: fc.integer({ min: 0, max: 3000 }),
  completionTokens: fc.integer({ min: 0, max: 3000 }),
});
const id = fc.constantFrom('r1', 'r2', 'r3', 'r4');

type Step = (books: ModelBooks, at: number) => ModelBooks;

const step: fc.Arbitrary<Step> = fc.oneof(
  fc
    .tuple(fc.bigInt({ min: 1n, max: 3000n }), fc.option(fc.integer({ min: 0, max: 2000 })))
    .map(([amount, expiresAt]): Step => (books) => {
      const lot = { id: `lot${String(books.lots.length)}`, originalMicro: amount };
      return mint(books, { ...lot, expiresAt: expiresAt ?? undefined });
    }),
  fc.tuple(id, tokens).map(
    ([reservation, worstCase]): Step =>
      (books, at) =>
        books.reservations.has(reservation)
          ? books
          : hold(books, { id: reservation, price, worstCase, at }),
  ),
  fc.tuple(id, tokens).map(
    ([reservation, relayed]): Step =>
      (books, at) =>
        noteProgress(books, reservation, relayed, at),
  ),
  fc.tuple(id, fc.constantFrom('final' as const, 'journal' as const), tokens).map(
    ([reservation, carrier, count]): Step =>
      (books) =>
        settle(books, reservation, carrier, count),
  ),
  id.map(
    (reservation): Step =>
      (books) =>
        release(books, reservation),
  ),
  id.map(
    (reservation): Step =>
      (books, at) =>
        releaseOrphan(books, reservation, at),
  ),
  id.map(
    (reservation): Step =>
      (books, at) =>
        reconcile(books, reservation, at),
  ),
  fc.constant<Step>((books, at) => expire(books, at)),
);

function sum(values: Iterable<bigint>): bigint {
  let total = 0n;
  for (const value of values) total += value;
  return total;
}

function expectBalanced(books: ModelBooks): void {
  const minted = sum(books.lots.map((lot) => lot.originalMicro));
  const reservations = [...books.reservations.values()];
  const open = reservations.filter((r) => r.status === 'reserved' || r.status === 'streaming');
  expect(books.availableMicro + books.heldMicro + books.spentMicro + books.expiredMicro).toBe(
    minted,
  );
  expect(sum(open.map((r) => r.holdMicro))).toBe(books.heldMicro);
  expect(sum(books.lots.map((lot) => lot.remainingMicro))).toBe(
    books.availableMicro + books.heldMicro,
  );
  expect(sum(reservations.map((r) => r.chargeMicro))).toBe(books.spentMicro);
  for (const amount of [
    books.availableMicro,
    books.heldMicro,
    books.spentMicro,
    books.expiredMicro,
  ]) {
    expect(amount >= 0n).toBe(true);
  }
  for (const r of reservations) {
    expect(r.chargeMicro <= r.holdMicro).toBe(true);
    expect(sum(r.paidBy.values())).toBe(r.chargeMicro);
  }
}

const TERMINAL = new Set(['finalized', 'released', 'orphan_released']);

describe('the books', () => {
  it('balance after every step of any history, and terminal states absorb', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(step, fc.nat(200)), { maxLength: 60 }), (history) => {
        let books = EMPTY_BOOKS;
        let at = 0;
        for (const [apply, pause] of history) {
          at += pause;
          const before = books;
          books = apply(books, at);
          expectBalanced(books);
          for (const [key, was] of before.reservations) {
            if (TERMINAL.has(was.status)) {
              expect(books.reservations.get(key)?.status).toBe(was.status);
            }
          }
        }
      }),
      { numRuns: 2000 },
    );
  });

  const worstCase = { promptTokens: 1000, completionTokens: 1000 };
  const count = { promptTokens: 500, completionTokens: 700 };
  const held = hold(mint(EMPTY_BOOKS, { id: 'lot', originalMicro: 5000n, expiresAt: undefined }), {
    id: 'r1',
    price,
    worstCase,
    at: 0,
  });

  it('charge exactly what was delivered and give the rest of the hold back', () => {
    const settled = settle(held, 'r1', 'final', count);
    expect(settled.spentMicro).toBe(priceTokens(price, count));
    expect(settled.heldMicro).toBe(0n);
  });

  it('do not change when a settlement comes twice', () => {
    const once = settle(held, 'r1', 'final', count);
    expect(settle(once, 'r1', 'final', count)).toEqual(once);
  });

  it('never charge more than the hold', () => {
    const greedy = { promptTokens: 9_000_000, completionTokens: 9_000_000 };
    const settled = settle(held, 'r1', 'final', greedy);
    expect(settled.spentMicro).toBe(held.heldMicro);
  });

  it('charge nothing when nothing was delivered', () => {
    const settled = settle(held, 'r1', 'final', { promptTokens: 500, completionTokens: 0 });
    expect(settled.reservations.get('r1')?.status).toBe('released');
    expect(settled.spentMicro).toBe(0n);
  });

  it('settle a quiet stream to what was relayed and correct it when the count arrives', () => {
    const streaming = noteProgress(held, 'r1', { promptTokens: 500, completionTokens: 100 }, 10);
    const reconciled = reconcile(streaming, 'r1', 200);
    expect(reconciled.spentMicro).toBe(
      priceTokens(price, { promptTokens: 500, completionTokens: 100 }),
    );
    const corrected = settle(reconciled, 'r1', 'final', count);
    expect(corrected.spentMicro).toBe(priceTokens(price, count));
    expect(corrected.reservations.get('r1')?.status).toBe('finalized');
  });

  it('leave a stream alone that still made progress two minutes ago', () => {
    const streaming = noteProgress(held, 'r1', count, 100);
    expect(reconcile(streaming, 'r1', 220)).toBe(streaming);
  });

  it('capture late from the balance, and write off what it does not cover', () => {
    const poor = hold(mint(EMPTY_BOOKS, { id: 'lot', originalMicro: 750n, expiresAt: 50 }), {
      id: 'r1',
      price,
      worstCase,
      at: 0,
    });
    const orphaned = expire(releaseOrphan(poor, 'r1', 400), 400);
    expect(orphaned.availableMicro).toBe(0n);
    const late = settle(orphaned, 'r1', 'final', count);
    expect(late.spentMicro).toBe(0n);
    expect(late.writtenOffMicro).toBe(priceTokens(price, count));
    expect(late.reservations.get('r1')?.status).toBe('orphan_released');
  });

  it('use up the lot that expires first', () => {
    const two = mint(
      mint(EMPTY_BOOKS, { id: 'never', originalMicro: 1000n, expiresAt: undefined }),
      {
        id: 'soon',
        originalMicro: 300n,
        expiresAt: 1000,
      },
    );
    const settled = settle(hold(two, { id: 'r1', price, worstCase, at: 0 }), 'r1', 'final', count);
    expect(settled.reservations.get('r1')?.paidBy).toEqual(
      new Map([
        ['soon', 300n],
        ['never', priceTokens(price, count) - 300n],
      ]),
    );
  });
});

import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import fc from 'fast-check';
import type { TokenCount } from '@arrakis/money';
import * as model from './ledger-model.domain.ts';
import { applyLedgerBatch } from './store.ts';
import {
  NFT_ID,
  balances,
  createLedgerFixture,
  drift,
  letTimePass,
  mint,
  openCommunity,
  type Account,
  type LedgerFixture,
} from './test-support/ledger-fixture.ts';

/** The same histories through the pure model and through PostgreSQL, step by step. */

const PRICE = { promptPriceMicro: 150_000n, completionPriceMicro: 600_000n };
const SLOTS = 4;

const tokens = fc.record({
  promptTokens: fc.integer({ min: 0, max: 3000 }),
  completionTokens: fc.integer({ min: 0, max: 3000 }),
});
type Step =
  | { kind: 'mint'; amountMicro: bigint; expiresIn: number | null }
  | { kind: 'hold'; slot: number; worstCase: TokenCount }
  | { kind: 'progress'; slot: number; count: TokenCount }
  | { kind: 'settle'; slot: number; carrier: 'final' | 'journal'; count: TokenCount }
  | { kind: 'release' | 'orphan' | 'reconcile'; slot: number }
  | { kind: 'expire' }
  | { kind: 'wait'; seconds: number };

const mintStep = fc.record({
  kind: fc.constant('mint' as const),
  amountMicro: fc.bigInt({ min: 1n, max: 2000n }),
  // Far from any sum of waits, so that the seconds a slow machine takes decide nothing.
  expiresIn: fc.constantFrom(null, 70, 200, 500),
});

/** What may happen to one reservation, in an order that reaches every rule often. */
function life(slot: number): fc.Arbitrary<Step[]> {
  const ending: fc.Arbitrary<Step> = fc.oneof(
    fc.record({
      kind: fc.constant('settle' as const),
      slot: fc.constant(slot),
      carrier: fc.constantFrom('final' as const, 'journal' as const),
      count: tokens,
    }),
    fc.record({ kind: fc.constantFrom('release', 'orphan', 'reconcile'), slot: fc.constant(slot) }),
  );
  const optional = (one: fc.Arbitrary<Step>) => fc.array(one, { maxLength: 1 });
  return fc
    .tuple(
      fc.record({
        kind: fc.constant('hold' as const),
        slot: fc.constant(slot),
        worstCase: tokens.map((t) => ({ ...t, completionTokens: t.completionTokens + 1 })),
      }),
      optional(
        fc.record({
          kind: fc.constant('progress' as const),
          slot: fc.constant(slot),
          count: tokens,
        }),
      ),
      optional(
        fc.record({
          kind: fc.constant('wait' as const),
          seconds: fc.constantFrom(1, 130, 310),
        }),
      ),
      optional(
        fc.record({ kind: fc.constantFrom('orphan', 'reconcile'), slot: fc.constant(slot) }),
      ),
      fc.array(ending, { minLength: 1, maxLength: 3 }),
    )
    .map(([hold, ...rest]) => [hold, ...rest.flat()]);
}

/** Several lives, interleaved, with purchases and expiries in between. */
const interleaved: fc.Arbitrary<Step[]> = fc
  .tuple(
    fc.tuple(...Array.from({ length: SLOTS }, (_, slot) => life(slot))),
    fc.array(fc.oneof(mintStep, fc.constant<Step>({ kind: 'expire' })), { maxLength: 4 }),
    fc.array(fc.nat(SLOTS), { minLength: 60, maxLength: 60 }),
  )
  .map(([lives, between, order]) => {
    const queues = [...lives.map((steps) => [...steps]), [...between]];
    const steps = order.flatMap((next) => queues[next]?.splice(0, 1) ?? []);
    return [...steps, ...queues.flat()];
  });

let ledger: LedgerFixture;
beforeAll(async () => {
  ledger = await createLedgerFixture();
});
afterAll(() => ledger.close());

const CLOSE = {
  release: model.release,
  orphan: model.releaseOrphan,
  reconcile: model.reconcile,
} as const;

class History {
  readonly #account: Account;
  readonly #ids = Array.from({ length: SLOTS }, () => randomUUID());
  readonly #lots: string[] = [];
  books = model.EMPTY_BOOKS;
  at = 0;

  constructor(account: Account) {
    this.#account = account;
  }

  async apply(next: Step): Promise<void> {
    switch (next.kind) {
      case 'mint':
        return this.#mint(next.amountMicro, next.expiresIn);
      case 'hold':
        return this.#hold(this.#id(next.slot), next.worstCase);
      case 'progress':
        this.books = model.noteProgress(this.books, this.#id(next.slot), next.count, this.at);
        return this.#settle(next.slot, 'progress', undefined, next.count);
      case 'settle':
        this.books = model.settle(this.books, this.#id(next.slot), next.carrier, next.count);
        return this.#settle(
          next.slot,
          'settle',
          next.carrier === 'final' ? 'usage_event' : 'journal',
          next.count,
        );
      case 'release':
      case 'orphan':
      case 'reconcile':
        this.books = CLOSE[next.kind](this.books, this.#id(next.slot), this.at);
        return this.#settle(next.slot, next.kind);
      case 'expire':
        this.books = model.expire(this.books, this.at);
        await ledger.app.query('SELECT * FROM freeside.expire_lots(100)');
        return;
      case 'wait':
        this.at += next.seconds;
        await letTimePass(ledger.owner, this.#account.communityId, next.seconds);
    }
  }

  #id(index: number): string {
    return this.#ids[index]!;
  }

  async #mint(amountMicro: bigint, expiresIn: number | null): Promise<void> {
    const expiresAt = expiresIn === null ? null : new Date(Date.now() + expiresIn * 1000);
    const id = await mint(ledger.app, this.#account.communityId, amountMicro, expiresAt);
    this.#lots.push(id);
    this.books = model.mint(this.books, {
      id,
      originalMicro: amountMicro,
      expiresAt: expiresIn === null ? undefined : this.at + expiresIn,
    });
  }

  async #hold(id: string, worstCase: TokenCount): Promise<void> {
    if (this.books.reservations.has(id)) return;
    this.books = model.hold(this.books, { id, price: PRICE, worstCase, at: this.at });
    const { holds } = await applyLedgerBatch(
      ledger.app,
      [],
      [
        {
          reservationId: id,
          ...this.#account,
          nftId: NFT_ID,
          pool: 'cheap',
          promptTokens: worstCase.promptTokens,
          maxTokens: worstCase.completionTokens,
        },
      ],
    );
    const expected = this.books.reservations.has(id) ? 'accepted' : 'insufficient_credits';
    expect(holds[0]?.outcome).toBe(expected);
  }

  async #settle(
    index: number,
    action: 'settle' | 'release' | 'orphan' | 'reconcile' | 'progress',
    carrier?: string,
    count?: TokenCount,
  ): Promise<void> {
    await applyLedgerBatch(
      ledger.app,
      [{ reservationId: this.#id(index), action, carrier, poolUsed: 'cheap', ...count }],
      [],
    );
  }

  async expectSameBooks(): Promise<void> {
    const { communityId } = this.#account;
    const actual = await balances(ledger.app, communityId);
    expect(actual).toMatchObject({
      available: this.books.availableMicro,
      held: this.books.heldMicro,
      spent: this.books.spentMicro,
      expired: this.books.expiredMicro,
      written_off: this.books.writtenOffMicro,
    });
    const lots = await ledger.app.query<{ id: string; remaining_micro: bigint }>(
      'SELECT id, remaining_micro FROM freeside.credit_lots WHERE community_id = $1',
      [communityId],
    );
    expect(new Map(lots.rows.map((lot) => [lot.id, lot.remaining_micro]))).toEqual(
      new Map(this.books.lots.map((lot) => [lot.id, lot.remainingMicro])),
    );
    const reservations = await ledger.app.query<{
      id: string;
      status: string;
      charge_micro: bigint;
    }>(
      'SELECT id, status, charge_micro FROM freeside.budget_reservations WHERE community_id = $1',
      [communityId],
    );
    expect(
      new Map(
        reservations.rows.map((row) => [row.id, `${row.status} ${String(row.charge_micro)}`]),
      ),
    ).toEqual(
      new Map(
        [...this.books.reservations.values()].map((r) => [
          r.id,
          `${r.status} ${String(r.chargeMicro)}`,
        ]),
      ),
    );
  }
}

describe('the ledger functions', () => {
  it('keep the same books as the model over any history, and the books balance', async () => {
    await fc.assert(
      fc.asyncProperty(fc.bigInt({ min: 0n, max: 6000n }), interleaved, async (opening, steps) => {
        const history = new History(await openCommunity(ledger.owner));
        if (opening > 0n)
          await history.apply({ kind: 'mint', amountMicro: opening, expiresIn: null });
        for (const next of steps) {
          await history.apply(next);
          await history.expectSameBooks();
        }
        expect(await drift(ledger.app)).toEqual([]);
      }),
      { numRuns: 100 },
    );
  }, 120_000);
});

import { createPool, withTransaction, type Queryable } from '@arrakis/postgres';
import { waitFor } from '@arrakis/testkit';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  balances,
  createLedgerFixture,
  drift,
  openCommunity,
  type LedgerFixture,
} from '../reservations/test-support/ledger-fixture.ts';
import { decide, type KnownPayment } from './delivery.domain.ts';
import {
  PAYMENT_STATUSES,
  STATUS_RANK,
  TRANSITIONS,
  type PaymentStatus,
} from './payment-state.domain.ts';
import {
  WAYS,
  memberOf,
  newIntake,
  nextVendorPaymentId,
  notice,
  openPayment,
  openReviews,
  paymentRow,
  tell,
} from './test-support/payment-fixture.ts';
import { readReport } from './vendor-report.domain.ts';
import { parseJsonText } from './json-text.domain.ts';

let fixture: LedgerFixture;
beforeAll(async () => {
  fixture = await createLedgerFixture();
});
afterAll(async () => {
  expect(await drift(fixture.owner)).toEqual([]);
  await fixture.close();
});

async function buyer() {
  const { communityId } = await openCommunity(fixture.owner);
  const userId = await memberOf(fixture.owner, communityId);
  return { communityId, userId };
}

async function paymentAt(status: PaymentStatus) {
  const { communityId, userId } = await buyer();
  const id = await openPayment(fixture.app, communityId, userId);
  const vendorId = nextVendorPaymentId();
  const intake = newIntake(fixture.app);
  for (const step of WAYS[status]) await tell(intake, notice(id, step, { payment_id: vendorId }));
  expect((await paymentRow(fixture.owner, id)).status).toBe(status);
  return { communityId, id, vendorId };
}

describe('the tables of the database', () => {
  it('are those of the code', async () => {
    const ranks = await fixture.app.query<{ status: string; status_rank: number }>(
      'SELECT status, status_rank FROM freeside.payment_statuses',
    );
    const ofRows = ranks.rows.map((row) => [row.status, row.status_rank] as const);
    expect(Object.fromEntries(ofRows)).toEqual(STATUS_RANK);
    const { rows } = await fixture.app.query<{ way: string }>(
      `SELECT from_status || ' ' || to_status AS way FROM freeside.payment_transitions`,
    );
    const ways = PAYMENT_STATUSES.flatMap((from) => TRANSITIONS[from].map((to) => `${from} ${to}`));
    expect(rows.map((row) => row.way).sort()).toEqual(ways.sort());
  });
});

describe('every status, told at every status', () => {
  const pairs = PAYMENT_STATUSES.flatMap((from) =>
    PAYMENT_STATUSES.map((to) => [from, to] as const),
  );

  it.each(pairs)(
    '%s, then %s from everywhere and twice, ends as decided, credited once',
    async (from, to) => {
      const { communityId, id, vendorId } = await paymentAt(from);
      const told = notice(id, to, { payment_id: vendorId });
      const known: KnownPayment = {
        status: from,
        credits: from === 'finished' ? 'given' : from === 'refunded' ? 'taken_back' : 'none',
        vendorPaymentId: vendorId,
        payCurrency: 'trx',
        priceMicro: 10_000_000n,
        lastUpdatedAtMs: null,
      };
      const reading = readReport(parseJsonText(JSON.stringify(told)));
      if (!reading.ok) throw new Error('unreadable');
      const expected = decide(known, reading.report, 'webhook');

      const replicas = [newIntake(fixture.app), newIntake(fixture.app)];
      const sources = ['webhook', 'poll', 'replay', 'webhook'] as const;
      await Promise.all(sources.map((source, n) => tell(replicas[n % 2]!, told, source)));
      await tell(replicas[0]!, notice(id, 'waiting', { payment_id: vendorId }));

      const row = await paymentRow(fixture.owner, id);
      expect(row.status).toBe(expected.to ?? from);
      const hasFinished = row.status === 'finished' || row.status === 'refunded';
      const { minted, available } = await books(communityId);
      expect(minted).toBe(hasFinished ? 10_500_000n : 0n);
      expect(available).toBe(row.status === 'finished' ? 10_500_000n : 0n);
      const reviews = await openReviews(fixture.owner, id);
      if (expected.review !== undefined)
        expect(reviews.filter((one) => one === expected.review)).toHaveLength(1);
    },
  );
});

async function books(communityId: string) {
  const all = await balances(fixture.owner, communityId);
  return {
    minted: -(all.crypto_receipts ?? 0n) - (all.bonus ?? 0n),
    bonus: -(all.bonus ?? 0n),
    available: all.available ?? 0n,
    refunded: all.refunded ?? 0n,
  };
}

describe('a finished payment', () => {
  it('is one lot with the bonus as an entry of its own', async () => {
    const { communityId, id } = await paymentAt('finished');
    const row = await paymentRow(fixture.owner, id);
    const { rows } = await fixture.owner.query<{ kind: string; amount_micro: bigint }>(
      'SELECT kind, amount_micro FROM freeside.ledger_entries WHERE lot_id = $1 ORDER BY id',
      [row.lot_id],
    );
    expect(rows).toEqual([
      { kind: 'mint', amount_micro: 10_000_000n },
      { kind: 'bonus', amount_micro: 500_000n },
    ]);
    expect(await books(communityId)).toMatchObject({ available: 10_500_000n, bonus: 500_000n });
  });

  it('is told ten times an hour what moves nothing, replays and polls not counted', async () => {
    const { id, vendorId } = await paymentAt('waiting');
    const intake = newIntake(fixture.app);
    const told = notice(id, 'waiting', { payment_id: vendorId });
    for (let n = 0; n < 9; n += 1) {
      expect(await tell(intake, told)).toMatchObject({ kind: 'applied' });
    }
    const deliveries = async (): Promise<number> =>
      (
        await fixture.owner.query(
          'SELECT 1 FROM freeside.payment_deliveries WHERE vendor_payment_id = $1',
          [vendorId],
        )
      ).rows.length;
    expect(await deliveries()).toBe(10);
    const paused = await tell(intake, told);
    expect(paused).toMatchObject({ kind: 'paused' });
    expect((paused as { retryAfterSeconds: number }).retryAfterSeconds).toBeGreaterThan(3_400);
    expect(await deliveries()).toBe(10);
    // What it was waited for is not kept waiting.
    for (const status of ['finished', 'refunded'] as const) {
      const moving = notice(id, status, { payment_id: vendorId });
      expect(await tell(intake, moving)).toMatchObject({ kind: 'applied' });
      expect((await paymentRow(fixture.owner, id)).status).toBe(status);
      expect(await tell(intake, moving)).toMatchObject({ kind: 'paused' });
    }
  });
});

describe('many payments of one community', () => {
  it('each credit once, shuffled and repeated over two replicas', async () => {
    const { communityId, userId } = await buyer();
    const replicas = [newIntake(fixture.app), newIntake(fixture.app)];
    const told: Record<string, unknown>[] = [];
    const count = 60;
    for (let n = 0; n < count; n += 1) {
      const id = await openPayment(fixture.app, communityId, userId);
      // A community may have twenty payments of an hour of which nothing was heard.
      await fixture.owner.query(
        `UPDATE freeside.crypto_payments SET created_at = created_at - interval '1 hour' WHERE id = $1`,
        [id],
      );
      const payment_id = nextVendorPaymentId();
      const steps = ['waiting', 'confirming', 'confirmed', 'sending', 'finished'];
      told.push(...steps.map((status) => notice(id, status, { payment_id })));
    }
    const repeated = told.filter((_, n) => n % 10 < 3);
    const shuffled = [...told, ...repeated].sort(() => Math.random() - 0.5);
    await Promise.all(shuffled.map((one, n) => tell(replicas[n % 2]!, one)));
    expect(await books(communityId)).toMatchObject({ available: BigInt(count) * 10_500_000n });
    const { rows } = await fixture.owner.query<{ status: string }>(
      'SELECT DISTINCT status FROM freeside.crypto_payments WHERE community_id = $1',
      [communityId],
    );
    expect(rows).toEqual([{ status: 'finished' }]);
    expect(await drift(fixture.owner)).toEqual([]);
  });
});

describe('what binds to nothing', () => {
  it('is kept and moves nothing', async () => {
    const intake = newIntake(fixture.app);
    const { vendorId } = await paymentAt('waiting');
    const stranger = nextVendorPaymentId();
    for (const orderId of ['00000000-0000-7000-8000-000000000000', 'an-order', null]) {
      expect(await tell(intake, notice(orderId, 'finished', { payment_id: stranger }))).toEqual({
        kind: 'unbound',
      });
    }
    // An order that isn't ours, with a number that is.
    const mixed = notice('00000000-0000-7000-8000-000000000000', 'finished', {
      payment_id: vendorId,
    });
    expect(await tell(intake, mixed)).toEqual({ kind: 'unbound' });
    const { rows } = await fixture.owner.query<{ outcome: string; report: object }>(
      'SELECT outcome, report FROM freeside.payment_deliveries WHERE vendor_payment_id = $1',
      [stranger],
    );
    expect(rows.map((row) => row.outcome)).toEqual(['unbound', 'unbound', 'unbound']);
    expect(JSON.stringify(rows)).not.toContain('TVZ9');
  });

  it('also when the vendor gives one number to two orders', async () => {
    const { vendorId } = await paymentAt('finished');
    const { communityId, userId } = await buyer();
    const second = await openPayment(fixture.app, communityId, userId);
    const told = notice(second, 'finished', { payment_id: vendorId });
    expect(await tell(newIntake(fixture.app), told)).toEqual({ kind: 'unbound' });
    expect(await books(communityId)).toMatchObject({ minted: 0n });
    expect((await paymentRow(fixture.owner, second)).status).toBe('waiting');
  });
});

describe('a deposit that is repeated', () => {
  it('finds its payment by the parent alone and waits for review', async () => {
    const { communityId, id, vendorId } = await paymentAt('finished');
    const repeated = notice(null, 'finished', {
      payment_id: nextVendorPaymentId(),
      parent_payment_id: vendorId,
    });
    const intake = newIntake(fixture.app);
    expect(await tell(intake, repeated)).toMatchObject({ kind: 'applied', paymentId: id });
    await tell(intake, repeated);
    expect(await openReviews(fixture.owner, id)).toEqual(['repeated_deposit']);
    expect(await books(communityId)).toMatchObject({ minted: 10_500_000n });
  });
});

describe('a poll', () => {
  it('writes down once what waits for an operator, however often it hears of it', async () => {
    const { communityId, userId } = await buyer();
    const id = await openPayment(fixture.app, communityId, userId);
    const intake = newIntake(fixture.app);
    const payment_id = nextVendorPaymentId();
    const underpaid = notice(id, 'finished', { payment_id, actually_paid: 80.4 });
    const deliveries = async (): Promise<number> =>
      (
        await fixture.owner.query(
          'SELECT 1 FROM freeside.payment_deliveries WHERE crypto_payment_id = $1',
          [id],
        )
      ).rows.length;
    for (let n = 0; n < 3; n += 1) {
      expect(await tell(intake, underpaid, 'poll')).toMatchObject({ kind: 'applied' });
    }
    expect(await openReviews(fixture.owner, id)).toEqual(['underpaid']);
    expect(await deliveries()).toBe(1);
    await tell(intake, underpaid, 'webhook');
    expect(await deliveries()).toBe(2);
    await tell(intake, notice(id, 'finished', { payment_id }), 'poll');
    expect(await deliveries()).toBe(3);
    expect((await paymentRow(fixture.owner, id)).status).toBe('finished');
  });
});

describe('a refund', () => {
  it('that was spent is a debt, which later purchases pay first', async () => {
    const { communityId, id, vendorId } = await paymentAt('finished');
    const userId = await memberOf(fixture.owner, communityId);
    await spend(communityId, 4_000_000n);
    const intake = newIntake(fixture.app);
    const refund = notice(id, 'refunded', { payment_id: vendorId });
    await tell(intake, refund);
    await tell(intake, refund);
    expect(await books(communityId)).toMatchObject({ available: 0n, refunded: 6_500_000n });
    expect(await debts(communityId)).toEqual([{ amount_micro: 4_000_000n, paid_micro: 0n }]);

    const second = await openPayment(fixture.app, communityId, userId, 'starter');
    const finished = notice(second, 'finished', {
      payment_id: nextVendorPaymentId(),
      price_amount: 5,
    });
    await tell(intake, finished);
    await tell(intake, finished);
    expect(await debts(communityId)).toEqual([
      { amount_micro: 4_000_000n, paid_micro: 4_000_000n },
    ]);
    expect(await books(communityId)).toMatchObject({
      available: 1_000_000n,
      refunded: 10_500_000n,
    });
    expect(await drift(fixture.owner)).toEqual([]);
  });

  it('that overtakes its finish is made up for as soon as that comes', async () => {
    const { communityId, userId } = await buyer();
    const id = await openPayment(fixture.app, communityId, userId);
    const payment_id = nextVendorPaymentId();
    const intake = newIntake(fixture.app);
    await tell(intake, notice(id, 'refunded', { payment_id }));
    expect(await openReviews(fixture.owner, id)).toEqual(['refund_before_finish']);
    await tell(intake, notice(id, 'finished', { payment_id }));
    await tell(intake, notice(id, 'finished', { payment_id }));
    expect((await paymentRow(fixture.owner, id)).status).toBe('refunded');
    expect(await books(communityId)).toMatchObject({ minted: 10_500_000n, available: 0n });
    expect(await openReviews(fixture.owner, id)).toEqual([]);
  });

  it('lets a purchase that pays its debt pass an operator who looks at it', async () => {
    const { communityId, id, vendorId } = await paymentAt('finished');
    const userId = await memberOf(fixture.owner, communityId);
    await spend(communityId, 4_000_000n);
    await tell(newIntake(fixture.app), notice(id, 'refunded', { payment_id: vendorId }));
    const second = await openPayment(fixture.app, communityId, userId, 'starter');
    const finished = notice(second, 'finished', {
      payment_id: nextVendorPaymentId(),
      price_amount: 5,
    });

    const pool = createPool({
      url: fixture.database.migratorUrl,
      max: 1,
      applicationName: 'test',
      onError: () => undefined,
    });
    try {
      const looking = await withTransaction(pool, async (tx) => {
        await tx.query('SELECT freeside.lock_communities($1)', [[communityId]]);
        // Has locked the refunded payment, and waits for the community.
        const operator = fixture.app.query(
          `SELECT outcome FROM freeside.resolve_payment($1, NULL, 'refund', 'chani', 'again', $2)`,
          [id, crypto.randomUUID()],
        );
        await waitFor(() => isWaitingFor(tx));
        expect(await tell(newIntake(tx), finished)).toMatchObject({ kind: 'applied' });
        return { operator };
      });
      expect((await looking.operator).rows).toEqual([{ outcome: 'nothing_to_refund' }]);
    } finally {
      await pool.end();
    }
    expect(await debts(communityId)).toEqual([
      { amount_micro: 4_000_000n, paid_micro: 4_000_000n },
    ]);
  });

  it('takes nothing that a request holds, and owes it', async () => {
    const { communityId, id, vendorId } = await paymentAt('finished');
    const reservation = await hold(communityId);
    const held = (await balances(fixture.owner, communityId)).held ?? 0n;
    expect(held).toBeGreaterThan(0n);
    await tell(newIntake(fixture.app), notice(id, 'refunded', { payment_id: vendorId }));
    expect(await debts(communityId)).toEqual([{ amount_micro: held, paid_micro: 0n }]);
    await fixture.newService().release(reservation, 'client_gone');
    expect(await books(communityId)).toMatchObject({ available: held });
    expect(await drift(fixture.owner)).toEqual([]);
  });
});

/** Whether somebody waits for what that transaction holds. */
async function isWaitingFor(tx: Queryable): Promise<boolean> {
  const { rows } = await tx.query(
    `SELECT 1 FROM pg_stat_activity
     WHERE datname = current_database() AND pg_backend_pid() = ANY (pg_blocking_pids(pid))`,
  );
  return rows.length > 0;
}

async function debts(communityId: string) {
  const { rows } = await fixture.owner.query<{ amount_micro: bigint; paid_micro: bigint }>(
    'SELECT amount_micro, paid_micro FROM freeside.community_debts WHERE community_id = $1',
    [communityId],
  );
  return rows;
}

async function hold(communityId: string, maxTokens = 1_000_000): Promise<string> {
  const { rows } = await fixture.owner.query<{ id: string }>(
    'SELECT id FROM freeside.api_keys WHERE community_id = $1',
    [communityId],
  );
  const reservationId = crypto.randomUUID();
  const decision = await fixture.newService().reserve({
    reservationId,
    communityId,
    apiKeyId: rows[0]!.id,
    nftId: 'n',
    pool: 'cheap',
    promptTokens: 0,
    maxTokens,
  });
  expect(decision.accepted).toBe(true);
  return reservationId;
}

/** Charges exactly that much, at the price of a completion in the cheapest pool. */
async function spend(communityId: string, micro: bigint): Promise<void> {
  const tokens = Number((micro * 1_000_000n) / 600_000n) + 1;
  const reservationId = await hold(communityId, tokens);
  await fixture.newService().settle({
    reservationId,
    carrier: 'done_event',
    promptTokens: 0,
    completionTokens: tokens - 1,
    poolUsed: 'cheap',
    model: undefined,
    personalityId: undefined,
    latencyMs: undefined,
  });
}

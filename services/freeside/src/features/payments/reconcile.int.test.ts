import { createLogger, createRegistry } from '@arrakis/service-kit';
import { startFakeNowPayments, type FakeNowPayments, type VendorPayment } from '@arrakis/testkit';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import {
  balances,
  createLedgerFixture,
  drift,
  openCommunity,
  type LedgerFixture,
} from '../reservations/test-support/ledger-fixture.ts';
import { NowPaymentsClient } from './nowpayments.client.ts';
import { createPaymentEvents } from './events.ts';
import { listHeard } from './poll.store.ts';
import { PaymentReconciliation } from './reconcile.service.ts';
import { recordInvoice } from './store.ts';
import {
  memberOf,
  newEvents,
  newIntake,
  openPayment,
  openReviews,
  paymentRow,
  tell,
  notice,
} from './test-support/payment-fixture.ts';

const ACCOUNT = { email: 'ops@arrakis.example', password: 'p' };

let fixture: LedgerFixture;
let vendor: FakeNowPayments;
let client: NowPaymentsClient;
beforeAll(async () => {
  fixture = await createLedgerFixture();
});
beforeEach(async () => {
  vendor = await startFakeNowPayments({ apiKey: 'k', ipnSecret: 's', account: ACCOUNT });
  client = clientWith(5_000);
  await makeDue();
  // Only what each test makes is open.
  await fixture.owner.query(
    `UPDATE freeside.crypto_payments SET set_aside_at = now() WHERE status_rank < 5`,
  );
  return () => vendor.close();
});
afterAll(async () => {
  expect(await drift(fixture.owner)).toEqual([]);
  await fixture.close();
});

function clientWith(timeoutMs: number): NowPaymentsClient {
  return new NowPaymentsClient({
    baseUrl: vendor.url,
    apiKey: 'k',
    account: ACCOUNT,
    timeoutMs,
    events: newEvents(),
  });
}

async function makeDue(): Promise<void> {
  await fixture.owner.query(
    `UPDATE freeside.payment_poll_pace SET due_at = '-infinity', sweep_due_at = '-infinity',
       busy_in_a_row = 0, asked_last = NULL`,
  );
}

/** As if so much time had passed since the last round. */
async function letPaceGoOn(ms: number): Promise<void> {
  await fixture.owner.query(
    `UPDATE freeside.payment_poll_pace SET due_at = due_at - make_interval(secs => $1),
       sweep_due_at = sweep_due_at - make_interval(secs => $1)`,
    [ms / 1_000],
  );
}

/** That the next round is due so long after `work` has ended this one. */
async function expectPause(pauseMs: number, work: () => Promise<unknown>): Promise<void> {
  const clock = async (): Promise<{ now: Date; due_at: Date }> => {
    const { rows } = await fixture.owner.query<{ now: Date; due_at: Date }>(
      `SELECT clock_timestamp() AS now, NULLIF(due_at, '-infinity') AS due_at
       FROM freeside.payment_poll_pace`,
    );
    return rows[0]!;
  };
  const before = await clock();
  await work();
  const after = await clock();
  const endedMs = after.due_at.getTime() - pauseMs;
  expect(endedMs).toBeGreaterThanOrEqual(before.now.getTime() - 1);
  expect(endedMs).toBeLessThanOrEqual(after.now.getTime() + 1);
}

type Options = ConstructorParameters<typeof PaymentReconciliation>[0];

function reconciliation(
  sweeps = false,
  change: Partial<Pick<Options, 'exclusively' | 'vendor' | 'events' | 'intake'>> = {},
): PaymentReconciliation {
  return new PaymentReconciliation({
    db: fixture.app,
    intake: newIntake(fixture.app),
    events: newEvents(),
    vendor: client,
    sweeps,
    exclusively: async (work) => {
      await work(new AbortController().signal);
      return true;
    },
    random: () => 0,
    ...change,
  });
}

/** A payment with an invoice at the vendor, twenty minutes ago, and of which nothing was ever heard. */
async function quietPayment(): Promise<{
  id: string;
  communityId: string;
  atVendor: VendorPayment;
}> {
  const { communityId } = await openCommunity(fixture.owner);
  const id = await openPayment(
    fixture.app,
    communityId,
    await memberOf(fixture.owner, communityId),
  );
  const invoice = await client.createInvoice({
    orderId: id,
    description: 'credits',
    priceMicro: 10_000_000n,
    callbackUrl: 'http://127.0.0.1:9/never',
  });
  await recordInvoice(fixture.app, id, invoice);
  await fixture.owner.query(
    `UPDATE freeside.crypto_payments SET created_at = now() - interval '20 minutes' WHERE id = $1`,
    [id],
  );
  return { id, communityId, atVendor: vendor.openPayment(invoice.invoiceId) };
}

function finish(payment: VendorPayment): void {
  vendor.move(payment, 'finished', { actuallyPaid: payment.payAmount, silent: true });
}

async function available(communityId: string): Promise<bigint> {
  return (await balances(fixture.owner, communityId)).available ?? 0n;
}

describe('the reconciliation', () => {
  it('finds by the list what was never told of, and credits it once', async () => {
    const { communityId, id, atVendor } = await quietPayment();
    finish(atVendor);
    expect(await reconciliation().run()).toBe(1);
    expect(await available(communityId)).toBe(10_500_000n);
    expect((await paymentRow(fixture.owner, id)).payment_id).toBe(atVendor.paymentId);
    await makeDue();
    expect(await reconciliation().run()).toBe(0);
    expect(vendor.calls).toContain('POST /v1/auth');
  });

  it('asks by number for what was told of, and takes two replicas’ word once', async () => {
    const { communityId, id, atVendor } = await quietPayment();
    await tell(newIntake(fixture.app), notice(id, 'waiting', { payment_id: atVendor.paymentId }));
    expect(await reconciliation().run()).toBe(0);
    await makeDue();
    finish(atVendor);
    const moved = await Promise.all([reconciliation().run(), reconciliation().run()]);
    expect(moved.reduce((sum, one) => sum + one, 0)).toBe(1);
    expect(await available(communityId)).toBe(10_500_000n);
    expect(vendor.calls).toContain(`GET /v1/payment/${atVendor.paymentId}`);
  });

  it('writes nothing down when nothing has moved', async () => {
    const { id, atVendor } = await quietPayment();
    await tell(newIntake(fixture.app), notice(id, 'waiting', { payment_id: atVendor.paymentId }));
    const count = async (): Promise<unknown> =>
      (await fixture.owner.query('SELECT count(*) FROM freeside.payment_deliveries')).rows;
    const before = await count();
    await reconciliation().run();
    expect(await count()).toEqual(before);
  });

  it.each([
    [{ kind: 'status', status: 500 } as const, 300_000],
    [{ kind: 'status', status: 403 } as const, 300_000],
    [{ kind: 'status', status: 429 } as const, 30_000],
    [{ kind: 'status', status: 429, retryAfterSeconds: 120 } as const, 120_000],
    [{ kind: 'hang' } as const, 300_000],
  ])('leaves payments alone on %j and comes back', async (fault, pauseMs) => {
    const { communityId, id, atVendor } = await quietPayment();
    finish(atVendor);
    const job =
      fault.kind === 'hang' ? reconciliation(false, { vendor: clientWith(500) }) : reconciliation();
    vendor.fail(fault);
    await expectPause(pauseMs, async () => expect(await job.run()).toBe(0));
    expect(await paymentRow(fixture.owner, id)).toMatchObject({ status: 'waiting', version: 2 });
    const calls = vendor.calls.length;
    // Nor does another replica, or one that has just started.
    expect(await job.run()).toBe(0);
    expect(await reconciliation(true).run()).toBe(0);
    expect(vendor.calls).toHaveLength(calls);
    await letPaceGoOn(pauseMs);
    expect(await reconciliation().run()).toBe(1);
    expect(await available(communityId)).toBe(10_500_000n);
  });

  it('leaves a vendor that stays busy alone for longer each time, whichever replica hears it', async () => {
    await quietPayment();
    for (const pauseMs of [30_000, 60_000, 120_000]) {
      vendor.fail({ kind: 'status', status: 429 });
      await expectPause(pauseMs, () => reconciliation().run());
      await letPaceGoOn(pauseMs);
    }
    await expectPause(300_000, () => reconciliation().run());
    await letPaceGoOn(300_000);
    vendor.fail({ kind: 'status', status: 429 });
    await expectPause(30_000, () => reconciliation().run());
  });

  it('gives way to another replica that is at it', async () => {
    await quietPayment();
    const calls = vendor.calls.length;
    const exclusively = () => Promise.resolve(false);
    expect(await reconciliation(true, { exclusively }).run()).toBe(0);
    expect(vendor.calls).toHaveLength(calls);
  });

  it('finds a refund and a repeated deposit that were never told of, once a day', async () => {
    const { communityId, id, atVendor } = await quietPayment();
    finish(atVendor);
    expect(await reconciliation(true).run()).toBe(1);
    vendor.move(atVendor, 'refunded', { silent: true });
    const repeated = vendor.repeatDeposit(atVendor);
    vendor.move(repeated, 'finished', { actuallyPaid: repeated.payAmount, silent: true });
    await letPaceGoOn(23 * 60 * 60_000);
    const calls = vendor.calls.length;
    expect(await reconciliation(true).run()).toBe(0);
    expect(vendor.calls).toHaveLength(calls);
    expect(await paymentRow(fixture.owner, id)).toMatchObject({ status: 'finished' });
    await letPaceGoOn(60 * 60_000);
    expect(await reconciliation(true).run()).toBe(1);
    expect(await paymentRow(fixture.owner, id)).toMatchObject({ status: 'refunded' });
    expect(await available(communityId)).toBe(0n);
    expect(await openReviews(fixture.owner, id)).toEqual(['repeated_deposit']);
  });

  it('tries the whole list again within the hour when the vendor did not let it', async () => {
    const { id, atVendor } = await quietPayment();
    finish(atVendor);
    expect(await reconciliation().run()).toBe(1);
    vendor.move(atVendor, 'refunded', { silent: true });
    await makeDue();
    vendor.fail({ kind: 'status', status: 500 });
    expect(await reconciliation(true).run()).toBe(0);
    await letPaceGoOn(60 * 60_000);
    expect(await reconciliation(true).run()).toBe(1);
    expect(await paymentRow(fixture.owner, id)).toMatchObject({ status: 'refunded' });
  });

  it('parks what the vendor finished short, as a notice would', async () => {
    const { communityId, id, atVendor } = await quietPayment();
    vendor.move(atVendor, 'finished', { actuallyPaid: atVendor.payAmount / 2, silent: true });
    await reconciliation().run();
    expect(await openReviews(fixture.owner, id)).toEqual(['underpaid']);
    expect(await available(communityId)).toBe(0n);
  });
});

/** As many, of which the vendor has said that they wait; the first is the newest. */
async function heardPayments(count: number): Promise<{ id: string; atVendor: VendorPayment }[]> {
  const made: { id: string; atVendor: VendorPayment }[] = [];
  for (let n = 0; n < count; n += 1) {
    const { id, atVendor } = await quietPayment();
    await tell(newIntake(fixture.app), notice(id, 'waiting', { payment_id: atVendor.paymentId }));
    await fixture.owner.query(
      `UPDATE freeside.crypto_payments SET created_at = created_at - make_interval(mins => $2)
       WHERE id = $1`,
      [id, n],
    );
    made.push({ id, atVendor });
  }
  return made;
}

/** Checkouts of the last hours that nobody has opened, newer than any other. */
async function openCheckouts(count: number, invoiced: boolean): Promise<void> {
  const { communityId } = await openCommunity(fixture.owner);
  await fixture.owner.query(
    `INSERT INTO freeside.crypto_payments (id, community_id, user_id, idempotency_key, pack_version, pack_id,
       price_micro, credits_micro, bonus_micro, invoice_id, created_at)
     SELECT i, $1, $2, i, 1, 'starter', 5000000, 5000000, 0, CASE WHEN $4 THEN i END,
       now() - interval '16 minutes'
     FROM (SELECT gen_random_uuid() AS i FROM generate_series(1, $3)) AS ids`,
    [communityId, await memberOf(fixture.owner, communityId), count, invoiced],
  );
}

const askedAbout = (calls: readonly string[]): string[] =>
  calls.filter((call) => /^GET \/v1\/payment\/\d/.test(call));
const callFor = ({ paymentId }: VendorPayment): string => `GET /v1/payment/${paymentId}`;

describe('the turn of each payment', () => {
  it('comes, however many newer checkouts nobody has opened', async () => {
    const [heard] = await heardPayments(1);
    await openCheckouts(501, true);
    finish(heard!.atVendor);
    expect(await reconciliation().run()).toBe(1);
    expect((await paymentRow(fixture.owner, heard!.id)).status).toBe('finished');
  });

  it('comes for a checkout whose notices were all lost behind those that got no page', async () => {
    const { atVendor } = await quietPayment();
    await openCheckouts(10_001, false);
    finish(atVendor);
    expect(await reconciliation().run()).toBe(1);
  });

  it('goes round, from newest to oldest', async () => {
    const [first, second, third] = (await heardPayments(3)).map(({ id }) => id);
    const after = async (one: string | null | undefined): Promise<string[]> => {
      const page = { olderThanMinutes: 15, after: one ?? null, limit: 2 };
      return (await listHeard(fixture.app, page)).map(({ id }) => id);
    };
    expect(await after(null)).toEqual([first, second]);
    expect(await after(second)).toEqual([third, first]);
    expect(await after(first)).toEqual([second, third]);
    expect(await after(third)).toEqual([first, second]);
  });

  it('is kept for whoever was not asked about when the vendor had enough', async () => {
    const calls = (await heardPayments(3)).map(({ atVendor }) => callFor(atVendor));
    vendor.fail({ kind: 'delay', ms: 0 }, { kind: 'status', status: 429 });
    await reconciliation().run();
    await letPaceGoOn(30_000);
    await reconciliation().run();
    const [first, second, third] = calls;
    expect(askedAbout(vendor.calls)).toEqual([first, second, second, third, first]);
  });

  it('does not come for what an operator has set aside', async () => {
    const [heard] = await heardPayments(1);
    const { atVendor } = await quietPayment();
    finish(heard!.atVendor);
    finish(atVendor);
    await fixture.owner.query('UPDATE freeside.crypto_payments SET set_aside_at = now()');
    const calls = vendor.calls.length;
    expect(await reconciliation().run()).toBe(0);
    expect(vendor.calls).toHaveLength(calls);
  });
});

describe('a payment that can’t be asked about', () => {
  const refused = { kind: 'status', status: 403 } as const;

  it('stops neither the others nor the look for those that nothing was heard of', async () => {
    const { atVendor: unheard } = await quietPayment();
    const [, second] = await heardPayments(2);
    finish(second!.atVendor);
    finish(unheard);
    vendor.fail(refused);
    expect(await reconciliation().run()).toBe(2);
  });

  it('is given up with the others after the third in a row, and the list still asked for', async () => {
    const { atVendor: unheard } = await quietPayment();
    const heard = await heardPayments(4);
    finish(unheard);
    vendor.fail(refused, refused, refused);
    expect(await reconciliation().run()).toBe(1);
    expect(askedAbout(vendor.calls)).toHaveLength(3);
    await letPaceGoOn(300_000);
    await reconciliation().run();
    expect(askedAbout(vendor.calls)[3]).toBe(callFor(heard[3]!.atVendor));
  });

  it('is counted by what was asked when its answer is not to be understood', async () => {
    const [heard] = await heardPayments(1);
    vendor.move(heard!.atVendor, 'no status', { silent: true });
    const registry = createRegistry('test');
    const logger = createLogger({ service: 'test', level: 'silent' });
    const events = createPaymentEvents(registry, logger);
    expect(await reconciliation(true, { events }).run()).toBe(0);
    const counted = await registry.getSingleMetricAsString('freeside_payment_vendor_calls_total');
    for (const call of ['get_payment', 'list_payments']) {
      expect(counted).toMatch(new RegExp(`call="${call}",outcome="unreadable"[^}]*} 1`));
      expect(counted).toMatch(new RegExp(`call="${call}",outcome="refused"[^}]*} 0`));
    }
  });
});

/** Makes every decision fail on our side, whatever the vendor says. */
async function forbidDecisions(forbidden: boolean): Promise<void> {
  await fixture.owner.query(
    forbidden
      ? `ALTER TABLE freeside.payment_deliveries ADD CONSTRAINT none_now CHECK (false) NOT VALID`
      : `ALTER TABLE freeside.payment_deliveries DROP CONSTRAINT none_now`,
  );
}

describe('a round that ends early', () => {
  /** The vendor, and what happens while it is asked about a payment. */
  const meanwhile = (happens: () => void): Options['vendor'] => ({
    getPayment: (vendorPaymentId) => {
      happens();
      return client.getPayment(vendorPaymentId);
    },
    listPayments: (page) => client.listPayments(page),
  });

  it('leaves the vendor alone also after a failure of ours, which it reports at the end', async () => {
    const [first, second] = await heardPayments(2);
    finish(first!.atVendor);
    await forbidDecisions(true);
    try {
      await expectPause(300_000, () => expect(reconciliation().run()).rejects.toThrow('none_now'));
    } finally {
      await forbidDecisions(false);
    }
    expect(vendor.calls).toContain(callFor(second!.atVendor));
    const calls = vendor.calls.length;
    expect(await reconciliation().run()).toBe(0);
    expect(vendor.calls).toHaveLength(calls);
    await letPaceGoOn(300_000);
    expect(await reconciliation().run()).toBe(1);
  });

  it('stops between two calls when its process closes, and goes on at once elsewhere', async () => {
    const calls = (await heardPayments(3)).map(({ atVendor }) => callFor(atVendor));
    const closing = new AbortController();
    const job = reconciliation(true, { vendor: meanwhile(() => closing.abort()) });
    expect(await job.run(closing.signal)).toBe(0);
    expect(askedAbout(vendor.calls)).toEqual(calls.slice(0, 1));
    await reconciliation().run();
    expect(askedAbout(vendor.calls)).toEqual([...calls, calls[0]]);
  });

  it('stops when another may have its lock, and says so', async () => {
    const calls = (await heardPayments(2)).map(({ atVendor }) => callFor(atVendor));
    const lost = new AbortController();
    const job = reconciliation(true, {
      vendor: meanwhile(() => lost.abort(new Error('lock lost'))),
      exclusively: async (work) => {
        await work(lost.signal);
        return true;
      },
    });
    await expect(job.run()).rejects.toThrow('lock lost');
    expect(askedAbout(vendor.calls)).toEqual(calls.slice(0, 1));
  });
});

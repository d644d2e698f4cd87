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
let nowMs = 0;
beforeAll(async () => {
  fixture = await createLedgerFixture();
});
beforeEach(async () => {
  vendor = await startFakeNowPayments({ apiKey: 'k', ipnSecret: 's', account: ACCOUNT });
  client = new NowPaymentsClient({
    baseUrl: vendor.url,
    apiKey: 'k',
    account: ACCOUNT,
    timeoutMs: 500,
    events: newEvents(),
  });
  return () => vendor.close();
});
afterAll(async () => {
  expect(await drift(fixture.owner)).toEqual([]);
  await fixture.close();
});

function reconciliation(
  sweeps = false,
  exclusively = async (work: () => Promise<void>) => {
    await work();
    return true;
  },
): PaymentReconciliation {
  return new PaymentReconciliation({
    db: fixture.app,
    intake: newIntake(fixture.app),
    events: newEvents(),
    vendor: client,
    sweeps,
    exclusively,
    monotonicMs: () => nowMs,
    random: () => 0,
  });
}

/** A payment with an invoice at the vendor, twenty minutes ago, and of which nothing was ever heard. */
async function quietPayment(): Promise<{
  id: string;
  communityId: string;
  atVendor: VendorPayment;
}> {
  // Only what this test made is open.
  await fixture.owner.query(
    `UPDATE freeside.crypto_payments SET created_at = now() WHERE status_rank < 5`,
  );
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
    expect(await reconciliation().run()).toBe(0);
    expect(vendor.calls).toContain('POST /v1/auth');
  });

  it('asks by number for what was told of, and takes two replicas’ word once', async () => {
    const { communityId, id, atVendor } = await quietPayment();
    await tell(newIntake(fixture.app), notice(id, 'waiting', { payment_id: atVendor.paymentId }));
    expect(await reconciliation().run()).toBe(0);
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
    [{ kind: 'status', status: 429 } as const, 30_000],
    [{ kind: 'status', status: 429, retryAfterSeconds: 120 } as const, 120_000],
    [{ kind: 'hang' } as const, 300_000],
  ])('leaves payments alone on %j and comes back', async (fault, waitMs) => {
    const { communityId, id, atVendor } = await quietPayment();
    finish(atVendor);
    const job = reconciliation();
    vendor.fail(fault);
    expect(await job.run()).toBe(0);
    expect(await paymentRow(fixture.owner, id)).toMatchObject({ status: 'waiting', version: 2 });
    const calls = vendor.calls.length;
    nowMs += waitMs - 1;
    expect(await job.run()).toBe(0);
    expect(vendor.calls).toHaveLength(calls);
    nowMs += 1;
    expect(await job.run()).toBe(1);
    expect(await available(communityId)).toBe(10_500_000n);
  });

  it('gives way to another replica that is at it', async () => {
    await quietPayment();
    const calls = vendor.calls.length;
    expect(await reconciliation(true, () => Promise.resolve(false)).run()).toBe(0);
    expect(vendor.calls).toHaveLength(calls);
  });

  it('finds a refund and a repeated deposit that were never told of, once a day', async () => {
    const { communityId, id, atVendor } = await quietPayment();
    finish(atVendor);
    const job = reconciliation(true);
    expect(await job.run()).toBe(1);
    vendor.move(atVendor, 'refunded', { silent: true });
    const repeated = vendor.repeatDeposit(atVendor);
    vendor.move(repeated, 'finished', { actuallyPaid: repeated.payAmount, silent: true });
    nowMs += 24 * 60 * 60_000 - 1;
    expect(await job.run()).toBe(0);
    expect(await paymentRow(fixture.owner, id)).toMatchObject({ status: 'finished' });
    nowMs += 5 * 60_000;
    expect(await job.run()).toBe(1);
    expect(await paymentRow(fixture.owner, id)).toMatchObject({ status: 'refunded' });
    expect(await available(communityId)).toBe(0n);
    expect(await openReviews(fixture.owner, id)).toEqual(['repeated_deposit']);
  });

  it('tries the whole list again within the hour when the vendor did not let it', async () => {
    const { id, atVendor } = await quietPayment();
    finish(atVendor);
    expect(await reconciliation().run()).toBe(1);
    vendor.move(atVendor, 'refunded', { silent: true });
    const job = reconciliation(true);
    vendor.fail({ kind: 'status', status: 500 });
    expect(await job.run()).toBe(0);
    nowMs += 60 * 60_000;
    expect(await job.run()).toBe(1);
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

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  balances,
  createLedgerFixture,
  drift,
  openCommunity,
  type LedgerFixture,
} from '../reservations/test-support/ledger-fixture.ts';
import type { Decision } from './delivery.domain.ts';
import { countOpen } from './repair.store.ts';
import { PaymentRepair } from './repair.service.ts';
import {
  memberOf,
  newEvents,
  newIntake,
  nextVendorPaymentId,
  notice,
  openPayment,
  openReviews,
  paymentRow,
  tell,
} from './test-support/payment-fixture.ts';

let fixture: LedgerFixture;
let repair: PaymentRepair;
beforeAll(async () => {
  fixture = await createLedgerFixture();
  repair = new PaymentRepair({
    db: fixture.app,
    intake: newIntake(fixture.app),
    events: newEvents(),
  });
});
afterAll(async () => {
  expect(await drift(fixture.owner)).toEqual([]);
  await fixture.close();
});

async function paymentAfter(...told: { status: string; change?: Record<string, unknown> }[]) {
  const { communityId } = await openCommunity(fixture.owner);
  const userId = await memberOf(fixture.owner, communityId);
  const id = await openPayment(fixture.app, communityId, userId);
  const vendorId = nextVendorPaymentId();
  for (const { status, change } of told) {
    await tell(newIntake(fixture.app), notice(id, status, { payment_id: vendorId, ...change }));
  }
  return { communityId, id, vendorId };
}

async function available(communityId: string): Promise<bigint> {
  return (await balances(fixture.owner, communityId)).available ?? 0n;
}

async function reviewOf(id: string): Promise<string> {
  return (await repair.show(id))?.payment.openReviews[0]?.id ?? '';
}

const BY = { operator: 'chani@arrakis', reason: 'checked with the vendor' };

describe('an operator', () => {
  it('sees what waits, and all that happened to it', async () => {
    const { id, vendorId } = await paymentAfter(
      { status: 'waiting' },
      { status: 'partially_paid' },
    );
    const waiting = await repair.list('review', 100);
    expect(waiting.map((one) => one.id)).toContain(id);
    const file = await repair.show(id);
    expect(file?.payment).toMatchObject({ status: 'partially_paid', vendorPaymentId: vendorId });
    expect(file?.events.map((event) => event.kind)).toEqual([
      'created',
      'bound',
      'advanced',
      'review_opened',
    ]);
    expect(file?.deliveries.map((one) => one.outcome)).toEqual(['bound', 'advanced']);
    expect(await repair.show(crypto.randomUUID())).toBeUndefined();
  });

  it.each([
    ['a partial payment', [{ status: 'partially_paid' }], 'finished'],
    ['an underpaid one', [{ status: 'finished', change: { actually_paid: 80.4 } }], 'finished'],
    ['one paid after it expired', [{ status: 'expired' }, { status: 'finished' }], 'expired'],
  ])('mints %s once, whoever resolves it at once', async (_name, told, status) => {
    const { communityId, id } = await paymentAfter(...told);
    const reviewId = await reviewOf(id);
    const resolution = { ...BY, paymentId: id, reviewId, resolution: 'mint' as const };
    const outcomes = await Promise.all([1, 2, 3].map(() => repair.resolve(resolution)));
    expect(outcomes.map((one) => one.outcome).sort()).toEqual([
      'done',
      'resolved_before',
      'resolved_before',
    ]);
    expect(await available(communityId)).toBe(10_500_000n);
    expect((await paymentRow(fixture.owner, id)).status).toBe(status);
    expect(await openReviews(fixture.owner, id)).toEqual([]);
    const events = (await repair.show(id))?.events ?? [];
    expect(events.find((event) => event.kind === 'minted')).toMatchObject({
      source: 'operator',
      operator: BY.operator,
      reason: BY.reason,
    });
    // What the vendor says of it afterwards credits nothing more.
    await tell(newIntake(fixture.app), notice(id, 'finished'));
    expect(await available(communityId)).toBe(10_500_000n);
  });

  it('mints against the webhook, and it is credited once', async () => {
    const { communityId, id, vendorId } = await paymentAfter({ status: 'partially_paid' });
    const reviewId = await reviewOf(id);
    const told = notice(id, 'finished', { payment_id: vendorId });
    await Promise.all([
      repair.resolve({ ...BY, paymentId: id, reviewId, resolution: 'mint' }),
      tell(newIntake(fixture.app), told),
      tell(newIntake(fixture.app), told, 'poll'),
    ]);
    expect(await available(communityId)).toBe(10_500_000n);
  });

  it('makes of a repeated deposit a payment of its own, once', async () => {
    const { communityId, id, vendorId } = await paymentAfter({ status: 'finished' });
    const second = nextVendorPaymentId();
    const repeated = notice(null, 'finished', { payment_id: second, parent_payment_id: vendorId });
    await tell(newIntake(fixture.app), repeated);
    const reviewId = await reviewOf(id);
    expect(
      await repair.resolve({ ...BY, paymentId: id, reviewId, resolution: 'mint' }),
    ).toMatchObject({
      outcome: 'done',
      books: { mintedMicro: 10_500_000n },
    });
    expect(await available(communityId)).toBe(21_000_000n);
    await tell(newIntake(fixture.app), repeated);
    expect(await openReviews(fixture.owner, id)).toEqual([]);
    expect(await available(communityId)).toBe(21_000_000n);
  });

  it('has one case for a deposit, as far as it has come, and resolves none that it did not see', async () => {
    const { id, vendorId } = await paymentAfter({ status: 'finished' });
    const second = nextVendorPaymentId();
    const tellOfSecond = (status: string) =>
      tell(
        newIntake(fixture.app),
        notice(null, status, { payment_id: second, parent_payment_id: vendorId }),
      );
    const cases = async () =>
      (await repair.show(id))?.payment.openReviews.map((one) => one.vendorStatus);
    await tellOfSecond('confirming');
    const seen = await reviewOf(id);
    for (const status of ['waiting', 'sending', 'confirmed', 'finished', 'sending', 'finished']) {
      await tellOfSecond(status);
    }
    expect(await cases()).toEqual(['finished']);
    const ignore = { ...BY, paymentId: id, resolution: 'ignore' as const };
    expect((await repair.resolve({ ...ignore, reviewId: seen })).outcome).toBe('resolved_before');
    expect((await repair.resolve({ ...ignore, reviewId: await reviewOf(id) })).outcome).toBe(
      'done',
    );
    await tellOfSecond('confirming');
    expect(await cases()).toEqual([]);
    for (const status of ['on_hold', 'cancelled']) await tellOfSecond(status);
    expect(await cases()).toEqual(['on_hold', 'cancelled']);
  });

  it('keeps the case of money that came when the vendor then says that none did', async () => {
    const { id, vendorId } = await paymentAfter({ status: 'finished' });
    const second = nextVendorPaymentId();
    const tellOfSecond = (status: string) =>
      tell(
        newIntake(fixture.app),
        notice(id, status, { payment_id: second, parent_payment_id: vendorId }),
      );
    const cases = async () =>
      (await repair.show(id))?.payment.openReviews.map((one) => one.vendorStatus);
    for (const status of ['failed', 'finished']) await tellOfSecond(status);
    expect(await cases()).toEqual(['finished']);
    for (const status of ['expired', 'failed', 'finished']) await tellOfSecond(status);
    expect(await cases()).toEqual(['finished', 'expired']);
    await tellOfSecond('refunded');
    expect(await cases()).toEqual(['refunded']);
  });

  it('has nothing left to do about a partial payment whose rest came', async () => {
    const { communityId, id, vendorId } = await paymentAfter({ status: 'partially_paid' });
    expect(await openReviews(fixture.owner, id)).toEqual(['partially_paid']);
    await tell(newIntake(fixture.app), notice(id, 'finished', { payment_id: vendorId }));
    expect(await openReviews(fixture.owner, id)).toEqual([]);
    expect(await available(communityId)).toBe(10_500_000n);
  });

  it('never mints again what was credited', async () => {
    const { communityId, id, vendorId } = await paymentAfter(
      { status: 'finished' },
      { status: 'failed' },
    );
    const reviewId = await reviewOf(id);
    const mint = { ...BY, paymentId: id, resolution: 'mint' as const };
    expect((await repair.resolve({ ...mint, reviewId })).outcome).toBe('minted_before');
    expect((await repair.resolve({ ...mint, reviewId: null })).outcome).toBe('minted_before');
    expect(await available(communityId)).toBe(10_500_000n);
    expect(vendorId).not.toBe('');
    expect(
      (await repair.resolve({ ...BY, paymentId: id, reviewId, resolution: 'ignore' })).outcome,
    ).toBe('done');
  });

  it('refunds once, and what the vendor says then is nothing new', async () => {
    const { communityId, id, vendorId } = await paymentAfter({ status: 'finished' });
    const refund = { ...BY, paymentId: id, reviewId: null, resolution: 'refund' as const };
    expect(await repair.resolve(refund)).toMatchObject({
      outcome: 'done',
      books: { refundedMicro: 10_500_000n },
    });
    expect((await repair.resolve(refund)).outcome).toBe('nothing_to_refund');
    await tell(newIntake(fixture.app), notice(id, 'refunded', { payment_id: vendorId }));
    expect(await available(communityId)).toBe(0n);
    expect((await paymentRow(fixture.owner, id)).status).toBe('refunded');
  });

  it('takes no credits back for a deposit that was never credited', async () => {
    const { communityId, id } = await paymentAfter({ status: 'finished' });
    const other = notice(id, 'finished', { payment_id: nextVendorPaymentId() });
    await tell(newIntake(fixture.app), other);
    expect(await openReviews(fixture.owner, id)).toEqual(['second_payment']);
    const reviewId = await reviewOf(id);
    const refund = { ...BY, paymentId: id, reviewId, resolution: 'refund' as const };
    expect((await repair.resolve(refund)).outcome).toBe('nothing_to_refund');
    expect(await available(communityId)).toBe(10_500_000n);
    expect((await repair.resolve({ ...refund, resolution: 'ignore' })).outcome).toBe('done');
  });

  it('is shown as stuck what was paid and has no news, not what nobody paid', async () => {
    const abandoned = await paymentAfter({ status: 'waiting' });
    const paid = await paymentAfter({ status: 'confirming' });
    const ids = [abandoned.id, paid.id];
    const stuck = async () =>
      (await repair.list('stuck', 100)).map((one) => one.id).filter((id) => ids.includes(id));
    expect(await stuck()).toEqual([]);
    await fixture.owner.query(
      "UPDATE freeside.crypto_payments SET updated_at = now() - interval '31 minutes' WHERE id = ANY($1)",
      [ids],
    );
    expect(await stuck()).toEqual([paid.id]);
  });

  it('has to give a name and a reason', async () => {
    const { id } = await paymentAfter({ status: 'partially_paid' });
    const reviewId = await reviewOf(id);
    for (const change of [{ operator: ' ' }, { reason: '' }]) {
      const resolution = { ...BY, ...change, paymentId: id, reviewId, resolution: 'mint' as const };
      await expect(repair.resolve(resolution)).rejects.toMatchObject({ code: '23514' });
    }
    expect(await openReviews(fixture.owner, id)).toEqual(['partially_paid']);
  });

  it('who ignored a refund before its finish has not made the finish stay', async () => {
    const { communityId, id, vendorId } = await paymentAfter({ status: 'refunded' });
    const reviewId = await reviewOf(id);
    await repair.resolve({ ...BY, paymentId: id, reviewId, resolution: 'ignore' });
    await tell(newIntake(fixture.app), notice(id, 'finished', { payment_id: vendorId }));
    expect((await paymentRow(fixture.owner, id)).status).toBe('refunded');
    expect(await available(communityId)).toBe(0n);
  });

  it('takes back what was credited after the end, when the vendor sent it back', async () => {
    const { communityId, id, vendorId } = await paymentAfter(
      { status: 'expired' },
      { status: 'finished' },
    );
    const refunded = notice(id, 'refunded', { payment_id: vendorId });
    const of = { ...BY, paymentId: id };
    await repair.resolve({ ...of, reviewId: await reviewOf(id), resolution: 'mint' });
    expect(await available(communityId)).toBe(10_500_000n);
    await tell(newIntake(fixture.app), refunded);
    expect(await openReviews(fixture.owner, id)).toEqual(['refund_after_credit']);
    expect(
      await repair.resolve({ ...of, reviewId: await reviewOf(id), resolution: 'refund' }),
    ).toMatchObject({ outcome: 'done', books: { refundedMicro: 10_500_000n } });
    expect(await available(communityId)).toBe(0n);
    await tell(newIntake(fixture.app), refunded);
    expect(await openReviews(fixture.owner, id)).toEqual([]);
  });

  it('sets aside what is over without credits, until there is news', async () => {
    const { id, vendorId } = await paymentAfter(
      { status: 'confirming' },
      { status: 'finished', change: { actually_paid: 80.4 } },
    );
    const quiet = () =>
      fixture.owner.query(
        "UPDATE freeside.crypto_payments SET updated_at = now() - interval '31 minutes' WHERE id = $1",
        [id],
      );
    const isStuck = async () => {
      const listed = await repair.list('stuck', 100);
      const { stuck } = await countOpen(fixture.app);
      return { isListed: listed.some((one) => one.id === id), stuck };
    };
    await quiet();
    const { isListed, stuck } = await isStuck();
    expect([isListed, stuck > 0]).toEqual([true, true]);
    const ignore = async () =>
      repair.resolve({ ...BY, paymentId: id, reviewId: await reviewOf(id), resolution: 'ignore' });
    expect((await ignore()).outcome).toBe('done');
    await quiet();
    expect(await isStuck()).toEqual({ isListed: false, stuck: stuck - 1 });
    expect((await repair.show(id))?.payment.setAsideAt).toBeInstanceOf(Date);

    await tell(newIntake(fixture.app), notice(id, 'sending', { payment_id: vendorId }));
    expect((await repair.show(id))?.payment.setAsideAt).toBeNull();
    await quiet();
    expect(await isStuck()).toEqual({ isListed: true, stuck });
  });

  it.each([
    ['another deposit', 'finished', {}],
    ['a price that is wrong while the money is on its way', 'confirmed', { price_amount: 9 }],
  ])('goes on watching a payment after ignoring %s', async (what, status, change) => {
    const { id, vendorId } = await paymentAfter({ status: 'confirming' });
    const payment_id = what === 'another deposit' ? nextVendorPaymentId() : vendorId;
    await tell(newIntake(fixture.app), notice(id, status, { ...change, payment_id }));
    const reviewId = await reviewOf(id);
    await repair.resolve({ ...BY, paymentId: id, reviewId, resolution: 'ignore' });
    expect((await repair.show(id))?.payment.setAsideAt).toBeNull();
  });

  it('replays a kept report, which credits what it must and never twice', async () => {
    const { communityId, id, vendorId } = await paymentAfter({ status: 'refunded' });
    await tell(newIntake(fixture.app), notice(id, 'finished', { payment_id: vendorId }));
    expect(await available(communityId)).toBe(0n);
    const [refunded, finished] = (await repair.show(id))?.deliveries ?? [];
    for (const delivery of [finished, refunded, finished]) {
      const { decision } = (await repair.replay(delivery?.id ?? '')) as { decision: Decision };
      expect(['repeat', 'stale']).toContain(decision.outcome);
    }
    expect(await available(communityId)).toBe(0n);
    expect(await repair.replay('999999999')).toEqual({ kind: 'not_found' });
  });
});

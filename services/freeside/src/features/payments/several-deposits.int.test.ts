import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  balances,
  createLedgerFixture,
  drift,
  openCommunity,
  type LedgerFixture,
} from '../reservations/test-support/ledger-fixture.ts';
import { PaymentRepair } from './repair.service.ts';
import { createPayment } from './store.ts';
import {
  memberOf,
  newEvents,
  newIntake,
  nextVendorPaymentId,
  notice,
  openPayment,
  paymentRow,
  tell,
} from './test-support/payment-fixture.ts';

/** One order of ours and several payments of the vendor: each is credited, and taken back, for itself. */

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

const PACK = 10_500_000n;
const BY = { operator: 'chani@arrakis', reason: 'seen in the dashboard' };

class Order {
  readonly id: string;
  readonly communityId: string;
  readonly userId: string;

  private constructor(id: string, communityId: string, userId: string) {
    this.id = id;
    this.communityId = communityId;
    this.userId = userId;
  }

  static async open(): Promise<Order> {
    const { communityId } = await openCommunity(fixture.owner);
    const userId = await memberOf(fixture.owner, communityId);
    return new Order(await openPayment(fixture.app, communityId, userId), communityId, userId);
  }

  tell(paymentId: string, status: string, change: Record<string, unknown> = {}) {
    const told = notice(this.id, status, { payment_id: paymentId, ...change });
    return tell(newIntake(fixture.app), told);
  }

  /** By the case of that vendor payment, wherever it waits; fails without one. */
  async resolve(paymentId: string, resolution: 'mint' | 'ignore' | 'refund', of = this.id) {
    const reviews = (await repair.show(of))?.payment.openReviews ?? [];
    const reviewId = reviews.find((one) => one.vendorPaymentId === paymentId)?.id;
    if (reviewId === undefined) throw new Error(`no case of ${paymentId}`);
    return (await repair.resolve({ ...BY, paymentId: of, reviewId, resolution })).outcome;
  }

  async reviews(): Promise<string[]> {
    const reviews = (await repair.show(this.id))?.payment.openReviews ?? [];
    return reviews.map((one) => one.reason);
  }

  async available(): Promise<bigint> {
    return (await balances(fixture.owner, this.communityId)).available ?? 0n;
  }

  row() {
    return paymentRow(fixture.owner, this.id);
  }
}

describe('a deposit that an operator mints', () => {
  it('binds, and the other one that then finishes is a case that can be minted too', async () => {
    const order = await Order.open();
    const [first, second] = [nextVendorPaymentId(), nextVendorPaymentId()];
    await order.tell(first, 'waiting');
    await order.tell(second, 'confirming');
    await order.tell(first, 'finished');
    expect(await order.resolve(first, 'mint')).toBe('done');
    expect(await order.row()).toMatchObject({
      status: 'finished',
      payment_id: first,
      pay_currency: 'trx',
      credits_mint_event_id: `nowpayments:${first}`,
    });
    await order.tell(second, 'finished');
    expect(await order.reviews()).toEqual(['second_payment']);
    expect(await order.available()).toBe(PACK);
    expect(await order.resolve(second, 'mint')).toBe('done');
    expect(await order.available()).toBe(2n * PACK);
    for (const paymentId of [first, second]) await order.tell(paymentId, 'finished');
    expect(await order.reviews()).toEqual([]);
    expect(await order.available()).toBe(2n * PACK);
  });

  it.each(['refunded', 'finished'])(
    'keeps its credits when the partial one before it is %s',
    async (status) => {
      const order = await Order.open();
      const [partial, whole] = [nextVendorPaymentId(), nextVendorPaymentId()];
      await order.tell(partial, 'partially_paid', { actually_paid: 40 });
      await order.tell(whole, 'finished', { parent_payment_id: partial });
      expect(await order.resolve(whole, 'mint')).toBe('done');
      await order.tell(partial, status);
      expect(await order.available()).toBe(PACK);
      expect(await order.reviews()).toEqual(['partially_paid', 'second_payment']);
      if (status === 'finished') {
        expect(await order.resolve(partial, 'mint')).toBe('done');
        expect(await order.available()).toBe(2n * PACK);
      }
      await order.tell(whole, 'refunded', { parent_payment_id: partial });
      expect((await order.row()).status).toBe('refunded');
      expect(await order.available()).toBe(status === 'finished' ? PACK : 0n);
    },
  );

  it('binds also where no report did, and the whole payment after it is not dropped', async () => {
    const order = await Order.open();
    const [short, whole] = [nextVendorPaymentId(), nextVendorPaymentId()];
    await order.tell(short, 'finished', { actually_paid: 80 });
    expect((await order.row()).payment_id).toBeNull();
    expect(await order.resolve(short, 'mint')).toBe('done');
    expect((await order.row()).payment_id).toBe(short);
    await order.tell(whole, 'finished');
    expect(await order.reviews()).toEqual(['second_payment']);
    expect(await order.resolve(whole, 'mint')).toBe('done');
    expect(await order.available()).toBe(2n * PACK);
  });

  it('leaves what is paid late into the one that expired to be minted', async () => {
    const order = await Order.open();
    const [late, second] = [nextVendorPaymentId(), nextVendorPaymentId()];
    await order.tell(late, 'expired');
    await order.tell(second, 'finished');
    expect(await order.resolve(second, 'mint')).toBe('done');
    await order.tell(late, 'finished');
    expect(await order.reviews()).toEqual(['second_payment']);
    expect(await order.resolve(late, 'mint')).toBe('done');
    expect(await order.available()).toBe(2n * PACK);
  });

  it('is not minted where it is another order’s', async () => {
    const [mine, other] = [await Order.open(), await Order.open()];
    const paymentId = nextVendorPaymentId();
    await mine.tell(nextVendorPaymentId(), 'confirming');
    await mine.tell(paymentId, 'confirming');
    await other.tell(paymentId, 'finished');
    expect(await mine.resolve(paymentId, 'mint')).toBe('minted_before');
    expect(await mine.available()).toBe(0n);
    expect(await other.available()).toBe(PACK);
  });

  it('leaves the number before it to be found, also by its children alone', async () => {
    const order = await Order.open();
    const [first, second, child] = [1, 2, 3].map(nextVendorPaymentId) as [string, string, string];
    await order.tell(first, 'expired');
    await order.tell(second, 'finished');
    expect(await order.resolve(second, 'mint')).toBe('done');
    const unnamed = { order_id: null, parent_payment_id: first };
    expect(await order.tell(child, 'finished', unnamed)).toMatchObject({ paymentId: order.id });
    expect(await order.tell(first, 'finished', { order_id: null })).toMatchObject({
      paymentId: order.id,
    });
    expect(await order.reviews()).toEqual(['repeated_deposit', 'second_payment']);
  });
});

describe('a further deposit that became a payment of its own', () => {
  it.each([
    ['a child of it', true, true],
    ['a child that names only its parent', true, false],
    ['another payment of the invoice', false, true],
  ])('is taken back by the refund of %s, and nothing else is', async (_what, isChild, isNamed) => {
    const order = await Order.open();
    const [first, further] = [nextVendorPaymentId(), nextVendorPaymentId()];
    const change = {
      ...(isChild ? { parent_payment_id: first } : {}),
      ...(isNamed ? {} : { order_id: null }),
    };
    await order.tell(first, 'finished');
    await order.tell(further, 'finished', change);
    expect(await order.resolve(further, 'mint')).toBe('done');
    expect(await order.available()).toBe(2n * PACK);
    const own = (await repair.show(order.id))?.repeats[0];
    expect(own).toMatchObject({
      vendorPaymentId: further,
      repeatsPaymentId: order.id,
      isCredited: true,
      isRefunded: false,
    });

    for (const status of ['finished', 'refunded', 'refunded']) {
      expect(await order.tell(further, status, change)).toMatchObject({ paymentId: own?.id });
    }
    expect(await order.available()).toBe(PACK);
    expect(await order.reviews()).toEqual([]);
    expect((await order.row()).status).toBe('finished');
    const [repeat] = (await repair.show(order.id))?.repeats ?? [];
    expect(repeat).toMatchObject({ status: 'refunded', isRefunded: true, openReviews: [] });
    await order.tell(first, 'refunded');
    expect(await order.available()).toBe(0n);
  });

  it('has a child that repeats the first of the row, and is found by its order', async () => {
    const order = await Order.open();
    const [first, second, third] = [1, 2, 3].map(nextVendorPaymentId) as [string, string, string];
    await order.tell(first, 'finished');
    await order.tell(second, 'finished', { parent_payment_id: first });
    expect(await order.resolve(second, 'mint')).toBe('done');
    const own = (await repair.show(order.id))?.repeats[0]?.id ?? '';
    const told = { parent_payment_id: second, order_id: null };
    expect(await order.tell(third, 'finished', told)).toMatchObject({ paymentId: own });
    expect(await order.resolve(third, 'mint', own)).toBe('done');
    expect(await order.available()).toBe(3n * PACK);
    expect((await repair.show(order.id))?.repeats).toHaveLength(2);
    await order.tell(third, 'refunded', { parent_payment_id: second });
    expect(await order.available()).toBe(2n * PACK);
  });

  it('has a key that no request can have taken', async () => {
    const order = await Order.open();
    const [first, further] = [nextVendorPaymentId(), nextVendorPaymentId()];
    const { communityId, userId } = order;
    const taken = {
      id: crypto.randomUUID(),
      communityId,
      userId,
      idempotencyKey: `repeat:${further}`,
      packId: 'standard',
    };
    expect(await createPayment(fixture.app, taken)).toMatchObject({ created: true });
    await order.tell(first, 'finished');
    await order.tell(further, 'finished', { parent_payment_id: first });
    expect(await order.resolve(further, 'mint')).toBe('done');
    const { rows } = await fixture.owner.query<{ idempotency_key: string }>(
      'SELECT idempotency_key FROM freeside.crypto_payments WHERE repeats_payment_id = $1',
      [order.id],
    );
    // What the header may say ends before the blank.
    expect(rows).toEqual([{ idempotency_key: `repeat ${further}` }]);
  });
});

import type { Problem } from '@arrakis/contracts';
import { waitFor } from '@arrakis/testkit';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { TestKey } from '../inference/test-support/harness.ts';
import { Shop, type PaymentView } from './test-support/shop.ts';

let shop: Shop;
let key: TestKey;
beforeAll(async () => {
  shop = await Shop.open();
  key = await shop.harness.openCommunity({ micro: 0n });
});
afterEach(() => {
  shop.harness.disabled.clear();
  shop.vendor.plan = {};
  shop.vendor.generation = 'newer';
});
afterAll(async () => {
  expect(await shop.harness.undocumentedAnswers()).toEqual([]);
  expect(await shop.drift()).toEqual([]);
  await shop.close();
});

describe('the packs', () => {
  it('are three, for everybody to see', async () => {
    const response = await fetch(`${shop.harness.url}/api/v1/credit-packs`);
    expect(await response.json()).toEqual({
      packs: [
        {
          id: 'starter',
          name: 'Starter',
          version: 1,
          price: '5000000',
          credits: '5000000',
          bonus: '0',
        },
        {
          id: 'standard',
          name: 'Standard',
          version: 1,
          price: '10000000',
          credits: '10500000',
          bonus: '500000',
        },
        {
          id: 'premium',
          name: 'Premium',
          version: 1,
          price: '25000000',
          credits: '27500000',
          bonus: '2500000',
        },
      ],
    });
  });
});

describe('buying a pack', () => {
  it('ends with the credits, by the buttons of the checkout page', async () => {
    const buyer = await shop.harness.openCommunity({ micro: 0n });
    const payment = await shop.buy(buyer, 'premium');
    expect(payment).toMatchObject({ status: 'waiting', creditedAt: null, inReview: false });
    const page = await (await fetch(payment.checkoutUrl)).text();
    expect(page).toContain('arrakis credits: premium');
    await fetch(payment.checkoutUrl, {
      method: 'POST',
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
      body: 'action=pay',
    });
    await shop.vendor.settled();
    expect(await shop.payment(buyer, payment.id)).toMatchObject({
      status: 'finished',
      inReview: false,
    });
    expect(await shop.balance(buyer)).toMatchObject({
      available: '27500000',
      minted: '27500000',
      debt: '0',
    });
  });

  it('is done once a key, also by requests that come together', async () => {
    const calls = shop.vendor.calls.length;
    const answers = await Promise.all(
      [1, 2, 3, 4].map(() => shop.post(key, { pack: 'starter' }, 'together')),
    );
    const statuses = answers.map((one) => one.status).sort();
    expect(statuses).toEqual([200, 200, 200, 201]);
    const views = (await Promise.all(answers.map((one) => one.json()))) as PaymentView[];
    expect(new Set(views.map((one) => one.id)).size).toBe(1);
    const last = (await (
      await shop.post(key, { pack: 'starter' }, 'together')
    ).json()) as PaymentView;
    expect(views.map((one) => one.checkoutUrl)).toContain(last.checkoutUrl);
    expect(shop.vendor.calls.length - calls).toBeLessThanOrEqual(4);
    const other = await shop.post(key, { pack: 'premium' }, 'together');
    expect([other.status, ((await other.json()) as Problem).code]).toEqual([
      409,
      'idempotency_key_reused',
    ]);
    // Another community may use the same key.
    const stranger = await shop.harness.openCommunity({ micro: 0n });
    expect((await shop.post(stranger, { pack: 'premium' }, 'together')).status).toBe(201);
  });

  it.each([
    { kind: 'status', status: 500 } as const,
    { kind: 'status', status: 403 } as const,
    { kind: 'status', status: 429, retryAfterSeconds: 17 } as const,
  ])('can be repeated with its key after the vendor answered $status', async (fault) => {
    shop.vendor.fail(fault);
    const name = `after-${fault.status}`;
    const failed = await shop.post(key, { pack: 'starter' }, name);
    expect([failed.status, ((await failed.json()) as Problem).code]).toEqual([
      503,
      'service_unavailable',
    ]);
    expect(failed.headers.get('retry-after')).toBe(fault.status === 429 ? '17' : '5');
    const again = await shop.post(key, { pack: 'starter' }, name);
    expect(again.status).toBe(200);
    expect(((await again.json()) as PaymentView).checkoutUrl).toContain('/payment/?iid=');
  });

  it('sends nobody to pay what an operator has credited', async () => {
    const buyer = await shop.harness.openCommunity({ micro: 0n });
    shop.vendor.fail({ kind: 'status', status: 500 });
    expect((await shop.post(buyer, { pack: 'starter' }, 'credited')).status).toBe(503);
    const { payments } = (await (await shop.get(buyer, '/api/v1/payments')).json()) as {
      payments: PaymentView[];
    };
    await shop.harness.db.query(
      `SELECT freeside.resolve_payment($1, NULL, 'mint', 'chani', 'seen at the vendor', $2)`,
      [payments[0]?.id, crypto.randomUUID()],
    );
    const calls = shop.vendor.calls.length;
    const again = await shop.post(buyer, { pack: 'starter' }, 'credited');
    expect(again.status).toBe(200);
    expect(await again.json()).toMatchObject({ status: 'finished', checkoutUrl: null });
    expect(shop.vendor.calls).toHaveLength(calls);
  });

  it('is refused while switched off, and what is under way goes on', async () => {
    const buyer = await shop.harness.openCommunity({ micro: 0n });
    const payment = await shop.buy(buyer, 'starter');
    shop.harness.disabled.add('FEATURE_CRYPTO_PAYMENTS_ENABLED');
    const refused = await shop.post(buyer, { pack: 'starter' });
    const problem = (await refused.json()) as Problem;
    expect([refused.status, problem.code]).toEqual([503, 'feature_disabled']);
    expect(problem.detail).toContain('switched off');
    shop.vendor.act(shop.checkout(payment), 'pay');
    await shop.vendor.settled();
    expect(await shop.balance(buyer)).toMatchObject({ available: '5000000' });
  });
});

describe('the notices of the vendor', () => {
  it.each(['older', 'newer'] as const)(
    'of the %s generation credit once, thrice sent and in any order',
    async (generation) => {
      shop.vendor.generation = generation;
      shop.vendor.plan = { copies: 3, reorder: 4 };
      const buyer = await shop.harness.openCommunity({ micro: 0n });
      const payment = await shop.buy(buyer);
      shop.vendor.act(shop.checkout(payment), 'pay');
      await shop.vendor.settled();
      expect(await shop.payment(buyer, payment.id)).toMatchObject({ status: 'finished' });
      expect(await shop.balance(buyer)).toMatchObject({
        available: '10500000',
        minted: '10500000',
      });
    },
  );

  it('that say too little was paid wait for an operator', async () => {
    const buyer = await shop.harness.openCommunity({ micro: 0n });
    const payment = await shop.buy(buyer);
    shop.vendor.act(shop.checkout(payment), 'underpay');
    await shop.vendor.settled();
    expect(await shop.payment(buyer, payment.id)).toMatchObject({
      status: 'partially_paid',
      inReview: true,
    });
    expect(await shop.balance(buyer)).toMatchObject({ available: '0' });
  });
});

describe('the list of payments', () => {
  it('goes from newest to oldest, page by page, for its community only', async () => {
    const buyer = await shop.harness.openCommunity({ micro: 0n });
    const ids: string[] = [];
    for (let n = 0; n < 5; n += 1) ids.unshift((await shop.buy(buyer, 'starter')).id);
    const seen: string[] = [];
    let cursor: string | null = '';
    while (cursor !== null) {
      const query: string = cursor === '' ? '' : `&cursor=${encodeURIComponent(cursor)}`;
      const response = await shop.get(buyer, `/api/v1/payments?limit=2${query}`);
      const page = (await response.json()) as {
        payments: PaymentView[];
        nextCursor: string | null;
      };
      expect(page.payments.length).toBeLessThanOrEqual(2);
      seen.push(...page.payments.map((one) => one.id));
      cursor = page.nextCursor;
    }
    expect(seen).toEqual(ids);
  });
});

describe('ten dollars', () => {
  it('become credits, answers, a refund and a debt; each step twice changes nothing', async () => {
    const buyer = await shop.harness.openCommunity({ micro: 0n });
    await shop.harness.addAgent(buyer, 'stilgar');
    const twice = async (step: () => Promise<void> | void): Promise<Record<string, string>> => {
      await step();
      await shop.vendor.settled();
      const once = await shop.balance(buyer);
      await step();
      await shop.vendor.settled();
      expect(await shop.balance(buyer)).toEqual(once);
      expect(await shop.drift()).toEqual([]);
      return once;
    };
    const buying = async (): Promise<PaymentView> =>
      (await (await shop.post(buyer, { pack: 'standard' }, 'story')).json()) as PaymentView;
    await twice(async () => {
      await buying();
    });
    const payment = await buying();
    const atVendor = shop.checkout(payment);

    const paid = await twice(() =>
      shop.vendor.move(atVendor, 'finished', { actuallyPaid: atVendor.payAmount }),
    );
    expect(paid).toMatchObject({ available: '10500000', held: '0', minted: '10500000' });

    const body = { nft_id: 'stilgar', prompt: 'Hi', max_tokens: 64 };
    const answer = await shop.harness.post('/api/v1/inference', buyer, body);
    expect(answer.status).toBe(200);
    const { id } = (await answer.json()) as { id: string };
    // The answer comes first, its settlement at once after.
    const charge = await waitFor(async () => {
      const response = await shop.get(buyer, `/api/v1/usage/${id}`);
      const receipt = (await response.json()) as { status: string; charge: string };
      return receipt.status === 'finalized' ? BigInt(receipt.charge) : undefined;
    });
    expect(charge).toBeGreaterThan(0n);
    const spent = await shop.balance(buyer);
    expect(spent).toMatchObject({ available: String(10_500_000n - charge), spent: String(charge) });

    const refunded = await twice(() => shop.vendor.move(atVendor, 'refunded'));
    expect(refunded).toMatchObject({
      available: '0',
      refunded: String(10_500_000n - charge),
      debt: String(charge),
    });
    expect(await shop.payment(buyer, payment.id)).toMatchObject({
      status: 'refunded',
      debt: String(charge),
    });

    const second = await shop.buy(buyer, 'starter');
    const secondAtVendor = shop.checkout(second);
    const after = await twice(() =>
      shop.vendor.move(secondAtVendor, 'finished', { actuallyPaid: secondAtVendor.payAmount }),
    );
    expect(after).toMatchObject({ available: String(5_000_000n - charge), debt: '0' });
  });
});

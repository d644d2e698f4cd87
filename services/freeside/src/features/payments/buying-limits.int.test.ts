import type { Problem } from '@arrakis/contracts';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { TestKey } from '../inference/test-support/harness.ts';
import { Shop, type PaymentView } from './test-support/shop.ts';

let shop: Shop;
beforeAll(async () => {
  shop = await Shop.open();
});
afterAll(async () => {
  expect(await shop.harness.undocumentedAnswers()).toEqual([]);
  await shop.close();
});

async function refusalOf(response: Response): Promise<[number, string]> {
  return [response.status, ((await response.json()) as Problem).code];
}

async function countPayments(): Promise<number> {
  const { rows } = await shop.harness.db.query<{ n: number }>(
    'SELECT count(*)::integer AS n FROM freeside.crypto_payments',
  );
  return rows[0]!.n;
}

describe('a community with twenty checkouts that nobody has opened', () => {
  const post = (key: TestKey, name: string): Promise<Response> =>
    shop.post(key, { pack: 'starter' }, name);

  it('gets no other, but those it has, until one is opened', async () => {
    const key = await shop.harness.openCommunity({ micro: 0n });
    const bought: PaymentView[] = [];
    for (let n = 0; n < 20; n += 1) {
      const response = await post(key, `k${n}`);
      expect(response.status).toBe(201);
      bought.push((await response.json()) as PaymentView);
    }
    const before = { calls: shop.vendor.calls.length, payments: await countPayments() };
    const refused = await post(key, 'k20');
    expect(refused.headers.get('retry-after')).toMatch(/^[1-9]\d{0,3}$/);
    expect(Number(refused.headers.get('retry-after'))).toBeLessThanOrEqual(3_600);
    expect(await refusalOf(refused)).toEqual([429, 'rate_limited']);
    expect({ calls: shop.vendor.calls.length, payments: await countPayments() }).toEqual(before);

    const repeated = await post(key, 'k3');
    expect([repeated.status, await repeated.json()]).toEqual([200, bought[3]]);
    expect(await refusalOf(await shop.post(key, { pack: 'premium' }, 'k3'))).toEqual([
      409,
      'idempotency_key_reused',
    ]);
    expect(await refusalOf(await shop.post(key, { pack: 'none' }, 'k21'))).toEqual([
      404,
      'pack_not_found',
    ]);
    const stranger = await shop.harness.openCommunity({ micro: 0n });
    expect((await post(stranger, 'k20')).status).toBe(201);

    await (await fetch(bought[0]!.checkoutUrl)).text();
    await shop.vendor.settled();
    expect((await post(key, 'k20')).status).toBe(201);
    expect((await post(key, 'k22')).status).toBe(429);
  });

  it('may buy again when the oldest of them is an hour old', async () => {
    const key = await shop.harness.openCommunity({ micro: 0n });
    for (let n = 0; n < 20; n += 1) await shop.buy(key, 'starter');
    expect((await post(key, 'late')).status).toBe(429);
    await shop.harness.db.query(
      `UPDATE freeside.crypto_payments SET created_at = created_at - interval '1 hour'
       WHERE id = (SELECT id FROM freeside.crypto_payments WHERE community_id = $1
                   ORDER BY created_at LIMIT 1)`,
      [key.communityId],
    );
    expect((await post(key, 'late')).status).toBe(201);
  });
});

describe('a vendor that asks for a pause', () => {
  it.each([
    [0, '1'],
    [17, '17'],
    [86_400, '300'],
  ])('of %d seconds is passed on as %s', async (retryAfterSeconds, told) => {
    const key = await shop.harness.openCommunity({ micro: 0n });
    shop.vendor.fail({ kind: 'status', status: 429, retryAfterSeconds });
    const refused = await shop.post(key, { pack: 'starter' });
    expect(refused.headers.get('retry-after')).toBe(told);
    expect(await refusalOf(refused)).toEqual([503, 'service_unavailable']);
  });
});

describe('a pack that is sold no more', () => {
  it('is still what its key has bought', async () => {
    const key = await shop.harness.openCommunity({ micro: 0n });
    const bought = (await (
      await shop.post(key, { pack: 'starter' }, 'once')
    ).json()) as PaymentView;
    await shop.harness.db.query(
      `INSERT INTO freeside.credit_pack_versions (version, effective_at) VALUES (2, now())`,
    );
    await shop.harness.db.query(
      `INSERT INTO freeside.credit_packs (version, id, name, price_micro, credits_micro, bonus_micro)
       VALUES (2, 'only', 'Only', 5000000, 5000000, 0)`,
    );
    const again = await shop.post(key, { pack: 'starter' }, 'once');
    expect([again.status, await again.json()]).toEqual([200, bought]);
    expect((await shop.post(key, { pack: 'only' }, 'once')).status).toBe(409);
    expect((await shop.post(key, { pack: 'starter' }, 'twice')).status).toBe(404);
  });
});

import { signNotice, waitFor } from '@arrakis/testkit';
import type { PoolClient } from 'pg';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { nextVendorPaymentId, notice } from './test-support/payment-fixture.ts';
import { IPN_SECRET, Shop } from './test-support/shop.ts';

let shop: Shop;
let holder: PoolClient | undefined;
beforeAll(async () => {
  shop = await Shop.open();
});
afterEach(async () => {
  await holder?.query('ROLLBACK');
  holder?.release();
  holder = undefined;
});
afterAll(async () => {
  expect(await shop.harness.undocumentedAnswers()).toEqual([]);
  expect(await shop.drift()).toEqual([]);
  await shop.close();
});

/** Nothing about payments is read or written until it is rolled back. */
async function holdPayments(): Promise<PoolClient> {
  const client = await shop.harness.db.connect();
  await client.query('BEGIN');
  await client.query('LOCK TABLE freeside.crypto_payments IN ACCESS EXCLUSIVE MODE');
  return client;
}

/** How many statements wait for the table. */
async function waiting(): Promise<number> {
  const { rows } = await shop.harness.db.query<{ n: number }>(
    `SELECT count(*)::int AS n FROM pg_locks
     WHERE NOT granted AND relation = 'freeside.crypto_payments'::regclass
       AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`,
  );
  return rows[0]?.n ?? 0;
}

async function metric(name: string): Promise<number> {
  const { values = [] } = (await shop.harness.registry.getSingleMetric(name)?.get()) ?? {};
  return values.reduce((sum, { value }) => sum + value, 0);
}

describe('a notice whose commit is late', () => {
  it('is answered while it still waits, counts when it commits, and is then a repetition', async () => {
    const buyer = await shop.harness.openCommunity({ micro: 0n });
    const { id } = await shop.buy(buyer);
    const told = notice(id, 'finished', { payment_id: nextVendorPaymentId() });
    const signature = { 'x-nowpayments-sig': signNotice(told, IPN_SECRET) };
    const tell = (): Promise<Response> => shop.notify(JSON.stringify(told), signature);

    holder = await holdPayments();
    const answer = await tell();
    expect(await waiting()).toBe(1);
    expect([answer.status, answer.headers.get('retry-after')]).toEqual([503, '5']);
    expect(await answer.json()).toMatchObject({ code: 'service_unavailable' });

    await holder.query('ROLLBACK');
    await waitFor(async () => (await shop.payment(buyer, id)).creditedAt !== null);
    const again = await tell();
    expect([again.status, await again.json()]).toEqual([200, { outcome: 'repeat' }]);
    expect(await shop.balance(buyer)).toMatchObject({ available: '10500000' });
    await waitFor(async () => (await metric('freeside_payment_mints_total')) > 0);
    expect(await metric('freeside_payment_mints_total')).toBe(1);
  });
});

import { randomUUID } from 'node:crypto';
import { microForMetric } from '@arrakis/money';
import { createLogger, createRegistry } from '@arrakis/service-kit';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  balances,
  createLedgerFixture,
  drift,
  openCommunity,
  type LedgerFixture,
} from '../reservations/test-support/ledger-fixture.ts';
import { createPaymentEvents } from './events.ts';
import { PaymentRepair } from './repair.service.ts';
import { countOpen, listCases } from './repair.store.ts';
import {
  memberOf,
  newEvents,
  newIntake,
  nextVendorPaymentId,
  notice,
  openPayment,
  tell,
} from './test-support/payment-fixture.ts';

let fixture: LedgerFixture;
beforeAll(async () => {
  fixture = await createLedgerFixture();
});
afterAll(async () => {
  expect(await drift(fixture.owner)).toEqual([]);
  await fixture.close();
});

async function buy() {
  const { communityId, apiKeyId } = await openCommunity(fixture.owner);
  const userId = await memberOf(fixture.owner, communityId);
  const id = await openPayment(fixture.app, communityId, userId);
  return { communityId, apiKeyId, userId, id };
}

describe('what waits', () => {
  it('for an operator is listed by how long it has, so that a cut list lacks the youngest', async () => {
    const [first, second] = [await buy(), await buy()];
    for (const { id } of [second, first]) {
      await tell(
        newIntake(fixture.app),
        notice(id, 'partially_paid', { payment_id: nextVendorPaymentId() }),
      );
    }
    const ids = async (filter: 'review' | 'all', limit: number): Promise<string[]> =>
      (await listCases(fixture.app, filter, { limit })).map(({ id }) => id);
    expect(await ids('review', 2)).toEqual([second.id, first.id]);
    expect(await ids('review', 1)).toEqual([second.id]);
    expect((await ids('all', 10)).indexOf(second.id)).toBeLessThan(
      (await ids('all', 10)).indexOf(first.id),
    );
  });

  it('counts an invoice that nobody opened for a week, and what was opened until it ends', async () => {
    const before = await countOpen(fixture.app);
    const [unopened, opened, young] = [await buy(), await buy(), await buy()];
    await tell(
      newIntake(fixture.app),
      notice(opened.id, 'waiting', { payment_id: nextVendorPaymentId() }),
    );
    await fixture.owner.query(
      `UPDATE freeside.crypto_payments SET created_at = now() - interval '8 days' WHERE id = ANY ($1)`,
      [[unopened.id, opened.id]],
    );
    await fixture.owner.query(
      `UPDATE freeside.crypto_payments SET created_at = now() - interval '6 days' WHERE id = $1`,
      [young.id],
    );
    expect((await countOpen(fixture.app)).open - before.open).toBe(2);
  });

  it('counts what is owed, also after an operator’s refund, until it is paid', async () => {
    const { communityId, apiKeyId, userId, id } = await buy();
    const intake = newIntake(fixture.app);
    await tell(intake, notice(id, 'finished', { payment_id: nextVendorPaymentId() }));
    const decision = await fixture.newService().reserve({
      reservationId: randomUUID(),
      communityId,
      apiKeyId,
      nftId: 'n',
      pool: 'cheap',
      promptTokens: 0,
      maxTokens: 1_000_000,
    });
    expect(decision.accepted).toBe(true);
    const held = (await balances(fixture.owner, communityId)).held ?? 0n;

    const before = await countOpen(fixture.app);
    const repair = new PaymentRepair({ db: fixture.app, intake, events: newEvents() });
    const by = { operator: 'chani', reason: 'asked for' };
    await repair.resolve({ paymentId: id, reviewId: null, resolution: 'refund', ...by });
    const owing = await countOpen(fixture.app);
    expect(owing.debtMicro - before.debtMicro).toBe(held);

    const registry = createRegistry('test');
    const logger = createLogger({ service: 'test', level: 'silent' });
    createPaymentEvents(registry, logger).measured(owing);
    const gauge = await registry.getSingleMetric('freeside_payment_debt_open_micro')?.get();
    expect(gauge?.values.map(({ value }) => value)).toEqual([microForMetric(owing.debtMicro)]);

    const second = await openPayment(fixture.app, communityId, userId);
    await tell(intake, notice(second, 'finished', { payment_id: nextVendorPaymentId() }));
    expect((await countOpen(fixture.app)).debtMicro).toBe(before.debtMicro);
  });
});

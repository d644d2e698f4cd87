import { afterAll, beforeAll, expect, it } from 'vitest';
import {
  memberOf,
  newIntake,
  nextVendorPaymentId,
  notice,
  openPayment,
  tell,
} from '../payments/test-support/payment-fixture.ts';
import {
  letTimePass,
  mint,
  openCommunity,
  type Account,
} from '../reservations/test-support/ledger-fixture.ts';
import {
  createAuditFixture,
  holdRequest,
  settlementOf,
  type AuditFixture,
} from './test-support/audit-fixture.ts';

let fixture: AuditFixture;
beforeAll(async () => {
  fixture = await createAuditFixture();
});
afterAll(async () => {
  await fixture.close();
});

/** Charged, released, corrected after the fact, charged after an orphan's release, and expired. */
async function spendInEveryWay(): Promise<void> {
  const account = await openCommunity(fixture.owner);
  await mint(fixture.app, account.communityId, 1_000_000n);
  const service = fixture.newService();
  const [charged, released, orphaned, corrected] = [
    holdRequest(account),
    holdRequest(account),
    holdRequest(account),
    holdRequest(account),
  ];
  for (const hold of [charged, released, orphaned, corrected]) await service.reserve(hold);
  await service.settle(settlementOf(charged.reservationId));
  await service.release(released.reservationId, 'timeout');
  await service.settle({ ...settlementOf(corrected.reservationId), carrier: 'usage_event' });
  await service.release(corrected.reservationId, 'timeout');
  await letTimePass(fixture.owner, account.communityId, 400);
  await service.releaseOrphans(10);
  await service.settle({ ...settlementOf(orphaned.reservationId), carrier: 'usage_event' });
  await mint(fixture.app, account.communityId, 5n, new Date(Date.now() - 1000));
  await fixture.app.query('SELECT * FROM freeside.expire_lots(10)');
}

/** An orphan's charge comes when its credits have expired: nobody pays it. */
async function chargeWhatIsGone(): Promise<void> {
  const account = await openCommunity(fixture.owner);
  const inFiveMinutes = new Date(Date.now() + 300_000);
  await mint(fixture.app, account.communityId, 1_000_000n, inFiveMinutes);
  const service = fixture.newService();
  const hold = holdRequest(account);
  await service.reserve(hold);
  await letTimePass(fixture.owner, account.communityId, 400);
  await service.releaseOrphans(10);
  await fixture.app.query('SELECT * FROM freeside.expire_lots(10)');
  await service.settle({ ...settlementOf(hold.reservationId), carrier: 'usage_event' });
}

/** Bought, refunded while a request holds some of it, and the debt paid by the next purchase. */
async function buyAndRefund(): Promise<void> {
  const account = await openCommunity(fixture.owner);
  const first = await buy(account, 'standard', 10);
  const hold = holdRequest(account);
  await fixture.newService().reserve(hold);
  await tell(
    newIntake(fixture.app),
    notice(first.id, 'refunded', { payment_id: first.vendorPayment }),
  );
  await fixture.newService().release(hold.reservationId, 'timeout');
  await buy(account, 'starter', 5);
}

async function buy({ communityId }: Account, pack: string, dollars: number) {
  const member = await memberOf(fixture.owner, communityId);
  const id = await openPayment(fixture.app, communityId, member, pack);
  const vendorPayment = nextVendorPaymentId();
  const paid = notice(id, 'finished', { payment_id: vendorPayment, price_amount: dollars });
  await tell(newIntake(fixture.app), paid);
  return { id, vendorPayment };
}

/** What the tables let in: whoever adds a kind adds its story above. */
async function kindsOf(source: string, constraint: string): Promise<string[]> {
  const { rows } = await fixture.owner.query<{ text: string }>(
    'SELECT pg_get_constraintdef(oid) AS text FROM pg_constraint WHERE conname = $1',
    [constraint],
  );
  const kinds = rows[0]?.text.matchAll(/'([a-z_]+)'/g) ?? [];
  return [...kinds].map(([, kind = '']) => `${source} ${kind}`);
}

it('every kind of operation that there is gets its record', async () => {
  await spendInEveryWay();
  await chargeWhatIsGone();
  await buyAndRefund();
  await fixture.newAudit().seal();

  const { rows } = await fixture.owner.query<{ kind: string }>(
    `SELECT DISTINCT source || ' ' || kind AS kind FROM freeside.audit_records`,
  );
  const possible = [
    ...(await kindsOf('entry', 'ledger_entries_kind_check')),
    ...(await kindsOf('adjustment', 'credit_lot_adjustments_reason_check')),
  ];
  expect(possible.length).toBeGreaterThan(10);
  expect(rows.map(({ kind }) => kind).sort()).toEqual(possible.sort());
  expect(await fixture.verify()).toMatchObject({ code: 0 });
});

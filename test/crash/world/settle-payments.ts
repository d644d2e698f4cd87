import { waitFor } from '@arrakis/testkit';
import type { Supervisor } from '../faults/supervisor.ts';
import { ageOpenPayments, makeRoundDue } from '../payments/reconciliation.ts';
import type { World } from '../types.ts';

const WITHIN_MS = 60_000;

type SettledWorld = Pick<World, 'auditDb' | 'shop' | 'system'>;

/**
 * What the vendor gave up telling is found by the worker's reconciliation, which asks about payments
 * that have been quiet for long. They are aged, and the worker, which looks at once when it starts, is
 * started again: by the supervisor as long as one watches. Returns how many the vendor had not
 * brought home.
 *
 * @throws when some are still behind after a minute
 */
export async function settlePayments(
  world: SettledWorld,
  supervisor?: Pick<Supervisor, 'kill'>,
): Promise<number> {
  const behind = await countBehind(world);
  if (behind === 0) return 0;
  await untilVendorServes(world);
  await ageOpenPayments(world.auditDb);
  if (supervisor === undefined) await restartWorker(world);
  else await supervisor.kill('worker-1', 0);
  const areHome = async (): Promise<boolean> => {
    if ((await countBehind(world)) === 0) return true;
    // A round that was under way before the ageing has put the next one off when it ended.
    await makeRoundDue(world.auditDb);
    return false;
  };
  await waitFor(areHome, {
    timeoutMs: WITHIN_MS,
    intervalMs: 100,
    what: 'what the vendor knows of every payment',
  });
  return behind;
}

/** Faults of the vendor that nobody has run into would meet the worker. */
async function untilVendorServes({ shop }: SettledWorld): Promise<void> {
  const asked = async (): Promise<boolean> => {
    const signal = AbortSignal.timeout(1_000);
    return (await fetch(`${shop.vendor.url}/v1/status`, { signal })).ok;
  };
  await waitFor(() => asked().catch(() => false), { timeoutMs: WITHIN_MS, what: 'the vendor' });
}

async function restartWorker({ system }: SettledWorld): Promise<void> {
  await system.process('worker-1').stop();
  await system.restart('worker-1');
}

/** Payments without a final status of which the vendor could say more than the books know. */
async function countBehind({ auditDb, shop }: SettledWorld): Promise<number> {
  const { rows } = await auditDb.query<{ id: string; status: string; in_review: boolean }>(
    `SELECT p.id, p.status, EXISTS (SELECT FROM freeside.payment_reviews r
       WHERE r.crypto_payment_id = p.id AND r.resolved_at IS NULL) AS in_review
     FROM freeside.crypto_payments p WHERE p.status_rank < 5`,
  );
  const known = new Map(rows.map((row) => [row.id, row]));
  return shop.vendor.payments.filter(({ orderId, status }) => {
    const row = known.get(orderId ?? '');
    return row !== undefined && row.status !== status && !row.in_review;
  }).length;
}

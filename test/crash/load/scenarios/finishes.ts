import { waitFor } from '@arrakis/testkit';
import { buy } from '../../payments/buy.ts';
import type { Market } from '../../payments/types.ts';
import { richCommunity, waitingForLock, type Stage } from './stage.ts';

const SEEN_WITHIN_MS = 10_000;

/**
 * The vendor says twice at the same moment that a payment has finished. Each api decides while the
 * payment still waits, and both stand before its row when it is let go.
 */
export async function finishToldTwiceAtOnce(stage: Stage, market: Market): Promise<void> {
  const { world } = stage;
  const { shop } = world;
  const community = richCommunity(stage, 0);
  const order = { community, pack: 'standard', idempotencyKey: 's-finish-twice', replica: 0 };
  const purchase = await buy(world, order, market.attempts);
  market.purchases.push(purchase);
  const unlock = await lockPayment(stage, purchase.paymentId);
  try {
    shop.vendor.plan = { copies: 2 };
    const { atVendor } = purchase;
    shop.vendor.move(atVendor, 'finished', { actuallyPaid: atVendor.payAmount });
    purchase.history.push('finished');
    await waitFor(async () => (await waitingForLock(stage, 'freeside-api')).length >= 2, {
      timeoutMs: SEEN_WITHIN_MS,
      intervalMs: 10,
      what: 'both apis waiting for the payment',
    });
  } finally {
    await unlock();
  }
}

/** Not one notice of it ever comes: only the vendor's list knows. */
export async function finishNeverTold(stage: Stage, market: Market): Promise<void> {
  const { shop } = stage.world;
  const community = richCommunity(stage, 1);
  const order = { community, pack: 'starter', idempotencyKey: 's-finish-never', replica: 1 };
  const purchase = await buy(stage.world, order, market.attempts);
  market.purchases.push(purchase);
  const { atVendor } = purchase;
  shop.vendor.move(atVendor, 'finished', { actuallyPaid: atVendor.payAmount, silent: true });
  purchase.history.push('finished');
}

/** Nobody can move the payment until the returned function is called. */
async function lockPayment({ world }: Stage, paymentId: string): Promise<() => Promise<void>> {
  const client = await world.auditDb.connect();
  await client.query('BEGIN');
  await client.query('SELECT 1 FROM freeside.crypto_payments WHERE id = $1 FOR UPDATE', [
    paymentId,
  ]);
  return async () => {
    await client.query('ROLLBACK');
    client.release();
  };
}

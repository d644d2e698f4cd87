import { waitFor } from '@arrakis/testkit';
import { buy } from '../../payments/buy.ts';
import { stepsTo, tell } from '../../payments/stories.ts';
import type { Market, Purchase } from '../../payments/types.ts';
import type { Community } from '../../types.ts';
import { createPrng, type Prng } from '../../world/prng.ts';
import { untilServed, type Stage } from './stage.ts';

const WITHIN_MS = 15_000;

/**
 * Everything that a community has bought is refunded at once when some of it has been spent, so that
 * all it has spent is a debt; the next purchase pays it first.
 */
export async function refundOfWhatWasSpent(stage: Stage, market: Market): Promise<void> {
  const { world } = stage;
  const community = world.communities.find(({ prepaid }) => prepaid);
  if (community === undefined) return;
  const prng = createPrng(world.seed, 'spent-refund');
  await pay(stage, market, { community, prng, pack: 'starter' });
  await untilServed(stage, community, 0);
  const finished = market.purchases.filter(
    (one) => one.community === community.id && one.history.at(-1) === 'finished',
  );
  for (const purchase of finished) tell(world.shop, purchase, 'refunded', { prng, spreadMs: 0 });
  // One of which the apis have heard enough for an hour stays as it is.
  await Promise.allSettled(finished.map((one) => untilStatus(stage, one, 'refunded')));
  await pay(stage, market, { community, prng, pack: 'premium' });
}

interface Payer {
  readonly community: Community;
  readonly prng: Prng;
  readonly pack: string;
}

async function pay(stage: Stage, market: Market, { community, prng, pack }: Payer): Promise<void> {
  const { shop } = stage.world;
  const idempotencyKey = `s-spent-refund-${pack}`;
  const order = { community, pack, idempotencyKey, replica: 1 };
  const purchase = await buy(stage.world, order, market.attempts);
  market.purchases.push(purchase);
  for (const status of stepsTo('finished', prng)) {
    tell(shop, purchase, status, { prng, spreadMs: 100 });
  }
  await untilStatus(stage, purchase, 'finished');
}

async function untilStatus(stage: Stage, purchase: Purchase, status: string): Promise<void> {
  await waitFor(
    async () => {
      const { rows } = await stage.world.auditDb.query<{ status: string }>(
        'SELECT status FROM freeside.crypto_payments WHERE id = $1',
        [purchase.paymentId],
      );
      return rows[0]?.status === status;
    },
    { timeoutMs: WITHIN_MS, intervalMs: 50, what: `a payment that is ${status}` },
  );
}

import type { VendorFault } from '@arrakis/testkit';
import { buy } from '../payments/buy.ts';
import { stepsTo, tell, type Ending } from '../payments/stories.ts';
import type { Market, Purchase } from '../payments/types.ts';
import type { CallRecord, Community, World } from '../types.ts';
import { createPrng, type Prng } from '../world/prng.ts';
import { pause } from './pause.ts';

export interface BuyerLoop {
  readonly world: World;
  readonly seed: number;
  readonly index: number;
  readonly community: Community;
  readonly market: Market;
  /** Every call of every client, as they end. */
  readonly records: readonly CallRecord[];
  readonly stopping: AbortSignal;
}

const THINK_MS = { least: 600, most: 2_000 } as const;
/** Notices overtake each other within so long. */
const SPREAD_MS = 1_500;
const PACKS: readonly [string, ...string[]] = ['starter', 'standard', 'premium'];
/** No notice of how it ended, only the answer to who asks. */
const SHARE_OF_LOST_ENDS = 0.12;
const SHARE_OF_VENDOR_FAULTS = 0.2;
const VENDOR_FAULTS: readonly [VendorFault, ...VendorFault[]] = [
  { kind: 'status', status: 500 },
  { kind: 'status', status: 503 },
  { kind: 'status', status: 429, retryAfterSeconds: 1 },
  { kind: 'delay', ms: 700 },
  { kind: 'hang' },
];
const ENDINGS: readonly [Ending, ...Ending[]] = [
  ...(['finished', 'finished', 'finished', 'finished', 'finished', 'finished'] as const),
  ...(['refunded', 'refunded', 'expired', 'failed', 'partially_paid'] as const),
];

/** Buys and pays, or doesn't, until it is told to stop; each story that has begun is told to its end. */
export async function runBuyer(loop: BuyerLoop): Promise<void> {
  const prng = createPrng(loop.seed, `buyer-${String(loop.index)}`);
  await pause(prng.int(0, THINK_MS.most), loop.stopping);
  for (let turn = 0; !loop.stopping.aborted; turn += 1) {
    const purchase = await purchaseOf(loop, prng, turn);
    // Refunded when some of it has been spent: a debt, which the next purchase pays.
    const ending = loop.community.prepaid ? 'refunded' : prng.pick(ENDINGS);
    if (purchase !== undefined) await playStory(loop, { purchase, ending, prng });
    await pause(prng.int(THINK_MS.least, THINK_MS.most), loop.stopping);
  }
}

/** Undefined when nobody would sell it. */
async function purchaseOf(
  { community, index, market, world }: BuyerLoop,
  prng: Prng,
  turn: number,
): Promise<Purchase | undefined> {
  if (prng.next() < SHARE_OF_VENDOR_FAULTS) world.shop.vendor.fail(prng.pick(VENDOR_FAULTS));
  const idempotencyKey = `b${String(index)}-${String(turn)}`;
  const order = { community, pack: prng.pick(PACKS), idempotencyKey, replica: turn };
  try {
    const purchase = await buy(world, order, market.attempts);
    market.purchases.push(purchase);
    return purchase;
  } catch {
    // Every attempt is noted; what nobody sold is nobody's purchase.
    return undefined;
  }
}

interface Story {
  readonly purchase: Purchase;
  readonly ending: Ending;
  readonly prng: Prng;
}

async function playStory(loop: BuyerLoop, { purchase, ending, prng }: Story): Promise<void> {
  // What has finished is asked about no more, so its refund is never lost.
  const isLost = ending !== 'refunded' && prng.next() < SHARE_OF_LOST_ENDS;
  for (const status of stepsTo(ending, prng)) {
    if (status === 'refunded') await spent(loop, prng.int(500, 2_000));
    const silent = isLost && status === ending;
    tell(loop.world.shop, purchase, status, { prng, spreadMs: SPREAD_MS, silent });
  }
}

/** Until the community has had another answer, for a while at most. */
async function spent({ community, records, stopping }: BuyerLoop, stepMs: number): Promise<void> {
  const answers = (): number =>
    records.filter((one) => one.community === community.id && one.outcome === 'completed').length;
  const before = answers();
  for (let step = 0; step < 4 && answers() === before; step += 1) await pause(stepMs, stopping);
}

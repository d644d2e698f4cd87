import { setTimeout as pause } from 'node:timers/promises';
import { waitFor } from '@arrakis/testkit';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readBooks } from '../crash/audit/books.ts';
import { readPaymentBooks } from '../crash/audit/payment-books.ts';
import { auditPayments } from '../crash/audit/payments.ts';
import { auditRefunds } from '../crash/audit/refunds.ts';
import { auditTrail } from '../crash/audit/trail.ts';
import { supervise, type Supervisor } from '../crash/faults/supervisor.ts';
import { closeConnections } from '../crash/load/call.ts';
import { startProvider } from '../crash/load/provider.ts';
import { buy } from '../crash/payments/buy.ts';
import { stepsTo, tell, type Ending } from '../crash/payments/stories.ts';
import type { BuyingAttempt, PaymentEvidence, Purchase } from '../crash/payments/types.ts';
import type { CommunityPlan } from '../crash/types.ts';
import { createPrng, type Prng } from '../crash/world/prng.ts';
import { settlePayments } from '../crash/world/settle-payments.ts';
import { startWorld, type BreakableWorld } from '../crash/world/world.ts';

/**
 * A thousand payments over two apis, their notices shuffled, three of ten told more than once, while
 * processes and PostgreSQL die under them.
 */

const SEED = 1;
const PAYMENTS = 1_000;
const BUYERS = 16;
/** So many that none has twenty invoices of which nothing was heard: then it would have to wait. */
const HOUSES = 64;
/** So late may a notice come: as long as it takes to sell them all, and longer. */
const SPREAD_MS = 12_000;
const PACKS: readonly [string, ...string[]] = ['starter', 'standard', 'premium'];

let world: BreakableWorld;
let supervisor: Supervisor;
beforeAll(async () => {
  world = await startWorld({
    seed: SEED,
    durable: false,
    replicas: { api: 2, finn: 1, worker: 1 },
    communities: Array.from({ length: HOUSES }, (_, index) => planOf(`house-${String(index)}`)),
    startProvider,
  });
  supervisor = supervise(world.system);
});
afterAll(async () => {
  await supervisor.close();
  closeConnections();
  await world.stop();
});

function planOf(slug: string): CommunityPlan {
  const lotsMicro: bigint[] = [];
  return {
    slug,
    tier: 'standard',
    lotsMicro,
    apiKeys: 1,
    hot: false,
    poor: false,
    prepaid: true,
  };
}

/** Eight of ten finish; of some of them the vendor's notices are lost. */
function drawStory(prng: Prng): { readonly ending: Ending; readonly lostFrom: number } {
  const draw = prng.next();
  if (draw < 0.03) return { ending: 'finished', lostFrom: 0 };
  if (draw < 0.08) return { ending: 'finished', lostFrom: 2 };
  if (draw < 0.8) return { ending: 'finished', lostFrom: Infinity };
  const endings = ['refunded', 'refunded', 'expired', 'failed', 'partially_paid'] as const;
  return { ending: prng.pick(endings), lostFrom: Infinity };
}

/** Sells them, and has the vendor tell of each as soon as it is sold. */
async function sellAll(attempts: BuyingAttempt[]): Promise<Purchase[]> {
  const purchases: Purchase[] = [];
  let next = 0;
  const sell = async (): Promise<void> => {
    while (next < PAYMENTS) {
      const index = next;
      next += 1;
      // Of its own: who sells next is decided by the machine, and must decide nothing else.
      const prng = createPrng(SEED, `story-${String(index)}`);
      const community = world.communities[index % world.communities.length]!;
      const order = { community, pack: prng.pick(PACKS), replica: index };
      const idempotencyKey = `order-${String(index)}`;
      const purchase = await buy(world, { ...order, idempotencyKey }, attempts);
      purchases.push(purchase);
      const { ending, lostFrom } = drawStory(prng);
      for (const [step, status] of stepsTo(ending, prng).entries()) {
        tell(world.shop, purchase, status, { prng, spreadMs: SPREAD_MS, silent: step >= lostFrom });
      }
    }
  };
  await Promise.all(Array.from({ length: BUYERS }, sell));
  return purchases;
}

async function breakPostgres(downMs: number): Promise<void> {
  await world.control.crashPostgres();
  await pause(downMs);
  await world.control.startPostgres();
}

/** One session killed hard, and PostgreSQL stops them all and recovers. */
async function killSession(): Promise<void> {
  const { rows } = await world.auditDb.query<{ pid: number }>(
    `SELECT pid FROM pg_stat_activity WHERE application_name = 'freeside-api' LIMIT 1`,
  );
  if (rows[0] !== undefined) process.kill(rows[0].pid, 'SIGKILL');
}

/** Each as soon as so many notices have been taken, so that it strikes whatever the machine's pace. */
const BLOWS: readonly (readonly [number, () => Promise<unknown>])[] = [
  [300, () => supervisor.kill('api-1', 300)],
  [800, () => supervisor.kill('worker-1', 300)],
  [1_200, () => breakPostgres(300)],
  [1_800, () => supervisor.kill('api-2', 300)],
  [2_300, () => killSession()],
  [2_800, () => Promise.all([supervisor.kill('api-1', 300), breakPostgres(200)])],
];

async function strikeAll(): Promise<void> {
  for (const [taken, strike] of BLOWS) {
    await waitFor(() => world.shop.answered().length >= taken, {
      timeoutMs: 90_000,
      intervalMs: 5,
      what: `${String(taken)} notices taken`,
    });
    await strike();
  }
}

describe('a thousand payments while everything is killed', () => {
  it('are each credited once, and what was answered 2xx is kept', async () => {
    const attempts: BuyingAttempt[] = [];
    const [purchases] = await Promise.all([sellAll(attempts), strikeAll()]);
    await world.shop.giveUp();
    await settlePayments(world, supervisor);

    const answered = world.shop.answered();
    const evidence: PaymentEvidence = { purchases, attempts, answered };
    const books = await readPaymentBooks(world.auditDb);
    const verdicts = [
      ...auditPayments(books, evidence),
      ...auditRefunds(books),
      await auditTrail(world),
    ];
    expect(verdicts.filter(({ ok }) => !ok)).toEqual([]);
    expect((await readBooks(world.auditDb)).drift).toEqual([]);
    expect(supervisor.unexpectedEnds()).toEqual([]);

    // The test itself: all was sold, much was told again, and much was refused while it was down.
    expect(purchases).toHaveLength(PAYMENTS);
    const told = new Set(answered.map(({ paymentId, status }) => `${paymentId} ${status}`));
    expect(told.size).toBeGreaterThan(PAYMENTS * 2.5);
    expect(answered.length).toBeGreaterThan(told.size * 1.2);
    const untaken = world.shop.vendor.attempts.filter(({ status }) => status !== 200);
    expect(untaken.length).toBeGreaterThan(20);
  }, 240_000);
});

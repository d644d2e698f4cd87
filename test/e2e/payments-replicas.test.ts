import { priceTokens } from '@arrakis/money';
import { waitFor } from '@arrakis/testkit';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  PAYMENT_STATUSES,
  STATUS_RANK,
  TRANSITIONS,
  type PaymentStatus,
} from '../../services/freeside/src/features/payments/payment-state.domain.ts';
import { WAYS } from '../../services/freeside/src/features/payments/test-support/payment-fixture.ts';
import { performCall } from '../crash/load/call.ts';
import { PRICES } from '../crash/load/unique-usage.ts';
import { buy } from '../crash/payments/buy.ts';
import type { Purchase } from '../crash/payments/types.ts';
import { Counter, type PaymentState, type Sold } from './support/payments-counter.ts';

/**
 * Two apis over HTTP. Each status is told at each status: once, to both at the same moment, too late,
 * and from everywhere at once (both apis, two reconciliations, an operator who replays).
 */

const FORMS = ['once', 'twice', 'stale', 'everywhere'] as const;
type Form = (typeof FORMS)[number];

let counter: Counter;
beforeAll(async () => {
  counter = await Counter.open();
});
afterAll(() => counter.close());

interface Case extends Sold {
  readonly form: Form;
  readonly from: PaymentStatus;
  readonly to: PaymentStatus;
}

/** Sold, and brought to where they begin. */
async function prepare(wanted: readonly Omit<Case, keyof Sold>[]): Promise<Case[]> {
  const sold = await counter.sell(wanted.length);
  const cases = wanted.map((one, index) => ({ ...one, ...sold[index]! }));
  for (const { atVendor, from } of cases)
    for (const step of WAYS[from]) counter.say(atVendor, step);
  await counter.settled();
  const reached = await counter.states(cases);
  expect(cases.filter(({ id, from }) => reached.get(id)?.status !== from)).toEqual([]);
  return cases;
}

/** As the table and its document have it, reckoned here once more. */
function expected({ form, from, to }: Case): PaymentState {
  const moves = form !== 'stale' && TRANSITIONS[from].includes(to);
  const status = moves ? to : from;
  const isRefunded = status === 'refunded';
  const reviews = new Set<string>();
  const wasPartial = status === 'partially_paid' || from === 'partially_paid';
  // The rest that comes closes the case; an end without it does not.
  if (wasPartial && status !== 'finished') reviews.add('partially_paid');
  const review = form === 'stale' || moves ? undefined : reviewOf(from, to);
  if (review !== undefined) reviews.add(review);
  return {
    status,
    mints: status === 'finished' || isRefunded ? 1 : 0,
    refunds: isRefunded ? 1 : 0,
    reviews: [...reviews].sort().join(' '),
  };
}

/** What an operator is asked when the table has no such way. */
function reviewOf(from: PaymentStatus, to: PaymentStatus): string | undefined {
  if (from === to) return undefined;
  if (to === 'refunded') return 'refund_before_finish';
  const hasEnded = from === 'failed' || from === 'expired';
  if (hasEnded && (to === 'finished' || to === 'partially_paid')) return 'paid_after_end';
  const isContradicted = from === 'finished' && STATUS_RANK[to] >= STATUS_RANK[from];
  return isContradicted ? 'contradicts_finish' : undefined;
}

async function tellEverywhere(cases: readonly Case[]): Promise<void> {
  await counter.letTimePass(cases);
  for (const { atVendor, to } of cases) counter.say(atVendor, to, { copies: 2 });
  const replays = await Promise.all([
    ...cases.map((one) => counter.replayLast(one)),
    counter.reconcile().then(() => 'applied'),
    counter.reconcile().then(() => 'applied'),
    counter.settled().then(() => 'applied'),
  ]);
  expect(new Set(replays)).toEqual(new Set(['applied']));
  await Promise.all(cases.map((one) => counter.replayLast(one)));
}

describe('every status, told at every status to two apis', () => {
  it('ends as the table says, whoever tells it and how often, credited at most once', async () => {
    const cases = await prepare(
      FORMS.flatMap((form) =>
        PAYMENT_STATUSES.flatMap((from) => PAYMENT_STATUSES.map((to) => ({ form, from, to }))),
      ),
    );
    const of = (form: Form): Case[] => cases.filter((one) => one.form === form);
    for (const { atVendor, to } of of('once')) counter.say(atVendor, to);
    for (const { atVendor, to } of of('twice')) counter.say(atVendor, to, { copies: 2 });
    await counter.settled();
    await Promise.all(of('stale').map((one) => counter.sayTooLate(one, one.to)));
    await tellEverywhere(of('everywhere'));

    const states = await counter.states(cases);
    const wrong = cases.flatMap((one) => {
      const [is, should] = [states.get(one.id), expected(one)];
      const isRight = JSON.stringify(is) === JSON.stringify(should);
      return isRight ? [] : [{ case: `${one.form}: ${one.from}, then ${one.to}`, is, should }];
    });
    expect(wrong).toEqual([]);
    expect(await counter.drift()).toEqual([]);
    const replicas = counter.world.shop.answered().map(({ replica }) => replica);
    expect(new Set(replicas)).toEqual(new Set([0, 1]));
  });
});

const RESOLVED_BY = { operator: 'chani@arrakis', reason: 'seen with the vendor', reviewId: null };
const COMMANDED = ['--operator', 'stilgar@arrakis', '--reason', 'seen with the vendor'];

/**
 * Two operators, and for some a third with our command; which of them comes first is chance. How many
 * got it done.
 */
async function resolve(
  { id: paymentId, from }: Case,
  resolution: 'mint' | 'refund',
): Promise<number> {
  const byService = async (): Promise<boolean> =>
    (await counter.repair.resolve({ ...RESOLVED_BY, paymentId, resolution })).outcome === 'done';
  const byCommand = (): Promise<boolean> =>
    counter.world.system
      .command('scripts/payments.ts', 'resolve', paymentId, '--as', resolution, ...COMMANDED)
      .then((said) => said.startsWith('Done'))
      .catch(() => false);
  const isCommanded = from === 'partially_paid' || from === 'expired';
  const operators = [byService(), byService(), ...(isCommanded ? [byCommand()] : [])];
  return (await Promise.all(operators)).filter(Boolean).length;
}

describe('an operator and the vendor at the same time', () => {
  it('credit and take back once, whatever stands there and whoever is first', async () => {
    const ways = PAYMENT_STATUSES.filter((one) => one !== 'finished' && one !== 'refunded');
    const cases = await prepare(ways.map((from) => ({ from, to: 'finished', form: 'everywhere' })));
    await counter.letTimePass(cases);
    for (const { atVendor } of cases) counter.say(atVendor, 'finished', { copies: 2 });
    const [, , ...mints] = await Promise.all([
      counter.reconcile(),
      counter.reconcile(),
      ...cases.map((one) => resolve(one, 'mint')),
    ]);
    await counter.settled();
    expect(Math.max(...mints)).toBeLessThan(2);
    const credited = await counter.states(cases);
    for (const { id, from } of cases) {
      // Ended without money, as the vendor says; the credits are there all the same.
      const status = from === 'failed' || from === 'expired' ? from : 'finished';
      expect(credited.get(id), from).toMatchObject({ status, mints: 1, refunds: 0 });
    }

    for (const { atVendor } of cases) counter.say(atVendor, 'refunded', { copies: 2 });
    const refunds = await Promise.all(cases.map((one) => resolve(one, 'refund')));
    await counter.settled();
    expect(Math.max(...refunds)).toBeLessThan(2);
    const refunded = await counter.states(cases);
    for (const { id, from } of cases) {
      expect(refunded.get(id), from).toMatchObject({ mints: 1, refunds: 1 });
    }
    expect(await counter.drift()).toEqual([]);
  });
});

interface BalanceView {
  readonly available: string;
  readonly held: string;
  readonly spent: string;
  readonly minted: string;
  readonly refunded: string;
  readonly debt: string;
}

/** As both apis tell it; the lots are left out. */
async function balance(): Promise<BalanceView> {
  const headers = { authorization: `Bearer ${counter.community('fremen').apiKeys[0]}` };
  const views = await Promise.all(
    counter.world.apis.map(async ({ url }) => {
      const response = await fetch(`${url}/api/v1/balance`, { headers });
      expect(response.status).toBe(200);
      const { available, held, spent, minted, refunded, debt } =
        (await response.json()) as BalanceView;
      return { available, held, spent, minted, refunded, debt };
    }),
  );
  expect(views[1]).toEqual(views[0]);
  return views[0]!;
}

/** A step, and the balance after it; made again it changes nothing. */
async function twice(step: () => Promise<unknown>): Promise<BalanceView> {
  await step();
  const once = await balance();
  await step();
  expect(await balance()).toEqual(once);
  expect(await counter.drift()).toEqual([]);
  return once;
}

function buyOnce(pack: string, replica: number): Promise<Purchase> {
  const community = counter.community('fremen');
  return buy(counter.world, { community, pack, idempotencyKey: pack, replica }, []);
}

async function sayAndSettle({ atVendor }: Purchase, status: PaymentStatus): Promise<void> {
  counter.say(atVendor, status, { copies: 2 });
  await counter.settled();
}

/** Three answers, streamed and whole, over both apis. What they cost, by the vendor's own count. */
async function haveAnswers(): Promise<bigint> {
  const community = counter.community('fremen');
  const { apis, provider } = counter.world;
  let cost = 0n;
  for (const [index, route] of (
    ['inference', 'chat_completions', 'inference'] as const
  ).entries()) {
    const marker = `story-${String(index)}`;
    const replica = index % apis.length;
    const call = await performCall({
      marker,
      community: community.id,
      apiKey: community.apiKeys[0],
      replica,
      baseUrl: apis[replica]!.url,
      route,
      agent: community.agents[0].slug,
      stream: index < 2,
      maxTokens: 600,
      includeUsage: true,
      plan: 'brisk',
    });
    expect(call.outcome).toBe('completed');
    const answer = provider.records().find((one) => one.marker === marker);
    cost += priceTokens(PRICES[answer!.pool], answer!);
  }
  return cost;
}

/** Everything that finn has reported, once more. */
async function reportAgain(): Promise<void> {
  const { usage } = counter.world;
  const reports = usage.captured().filter(({ replayed }) => !replayed);
  expect(reports).toHaveLength(3);
  for (const { raw } of reports) await usage.publish(raw);
  await waitFor(async () => (await usage.pending()) === 0, { timeoutMs: 20_000 });
}

describe('ten dollars over running services', () => {
  it('are credits, answers, a refund and a debt; each step made again changes nothing', async () => {
    let orders = 0;
    const unpaid = await twice(async () => {
      await buyOnce('standard', (orders += 1));
    });
    expect(unpaid).toMatchObject({ available: '0', minted: '0' });
    const purchase = await buyOnce('standard', 0);
    const paid = await twice(() => sayAndSettle(purchase, 'finished'));
    expect(paid).toMatchObject({ available: '10500000', held: '0', minted: '10500000' });

    const cost = await haveAnswers();
    expect(cost).toBeGreaterThan(0n);
    await waitFor(
      async () => (await balance()).held === '0' && counter.world.usage.captured().length >= 3,
      {
        timeoutMs: 20_000,
      },
    );
    const left = String(10_500_000n - cost);
    const spent = await twice(reportAgain);
    expect(spent).toMatchObject({ available: left, held: '0', spent: String(cost) });

    const refunded = await twice(() => sayAndSettle(purchase, 'refunded'));
    expect(refunded).toMatchObject({ available: '0', refunded: left, debt: String(cost) });

    const next = await buyOnce('starter', 1);
    const owing = await twice(() => sayAndSettle(next, 'finished'));
    expect(owing).toMatchObject({ available: String(5_000_000n - cost), debt: '0' });
    expect(owing).toMatchObject({ minted: '15500000', refunded: '10500000', spent: String(cost) });
  });
});

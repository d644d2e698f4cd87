import { randomUUID } from 'node:crypto';
import { priceTokens } from '@arrakis/money';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { ReservationService } from './service.ts';
import type { SettlementInput } from './settlement.domain.ts';
import {
  NFT_ID,
  balances,
  createLedgerFixture,
  drift,
  letTimePass,
  mint,
  openCommunity,
  type Account,
  type LedgerFixture,
} from './test-support/ledger-fixture.ts';

/**
 * Reports that reach the ledger after the hold has ended, each as the simulator first found it: a
 * process cut off the database for minutes, another that died with its journal a turn behind.
 */

const COUNT = { promptTokens: 100, completionTokens: 200 };
const CHARGE = priceTokens({ promptPriceMicro: 150_000n, completionPriceMicro: 600_000n }, COUNT);
const OPENING = 10_000n;

let ledger: LedgerFixture;
let service: ReservationService;
let account: Account;
let reservationId: string;
beforeAll(async () => {
  ledger = await createLedgerFixture();
  service = ledger.newService();
});
afterAll(() => ledger.close());
beforeEach(async () => {
  account = await openCommunity(ledger.owner);
  await mint(ledger.app, account.communityId, OPENING);
  reservationId = randomUUID();
  await service.reserve({
    reservationId,
    ...account,
    nftId: NFT_ID,
    pool: 'cheap',
    promptTokens: 1000,
    maxTokens: 1000,
  });
});

async function report(change: Omit<SettlementInput, 'reservationId'>): Promise<string> {
  const { outcome } = await service.settleNow({ reservationId, ...change });
  expect(await drift(ledger.app)).toEqual([]);
  return outcome;
}

const counted = (carrier: string, count = COUNT): Promise<string> =>
  report({ action: 'settle', carrier, ...count });

async function orphan(): Promise<void> {
  await letTimePass(ledger.owner, account.communityId, 301);
  expect(await report({ action: 'orphan' })).toBe('orphan_released');
}

async function spent(): Promise<bigint | undefined> {
  return (await balances(ledger.app, account.communityId)).spent;
}

async function tokensOfDay(): Promise<bigint | undefined> {
  const { rows } = await ledger.app.query<{ day_tokens: bigint }>(
    'SELECT day_tokens FROM freeside.api_key_usage WHERE key_id = $1',
    [account.apiKeyId],
  );
  return rows[0]?.day_tokens;
}

describe('an answer whose finn died before it journaled a token', () => {
  it('is charged by the count that its client got with it, although the journal came first', async () => {
    expect(await counted('journal', { promptTokens: 0, completionTokens: 0 })).toBe('finalized');
    expect(await balances(ledger.app, account.communityId)).toMatchObject({
      available: OPENING,
      held: 0n,
    });
    expect(await counted('done_event')).toBe('corrected');
    expect(await spent()).toBe(CHARGE);
    expect(await tokensOfDay()).toBe(300n);
  });
});

describe('an api that says late that nothing reached its client', () => {
  it('takes back what finn’s report was charged after the hold had been given back', async () => {
    await orphan();
    expect(await counted('usage_event')).toBe('late_captured');
    expect(await report({ action: 'release' })).toBe('corrected');
    expect(await spent()).toBe(0n);
    expect(await tokensOfDay()).toBe(0n);
  });

  it('is believed when finn’s report comes later still', async () => {
    await orphan();
    await report({ action: 'release' });
    expect(await counted('usage_event')).toBe('unchanged');
    expect(await spent()).toBe(0n);
  });
});

describe('a journal that was captured late', () => {
  it('is corrected by the final count', async () => {
    await orphan();
    await counted('journal', { promptTokens: 100, completionTokens: 1 });
    expect(await counted('done_event')).toBe('corrected');
    expect(await spent()).toBe(CHARGE);
    expect(await tokensOfDay()).toBe(300n);
  });
});

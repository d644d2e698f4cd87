import { randomUUID } from 'node:crypto';
import type { QueryConfig, QueryResultRow } from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { priceTokens } from '@arrakis/money';
import { repeatingLost, type Queryable } from '@arrakis/postgres';
import type { HoldDecision, HoldRequest, Settlement } from './reservation.domain.ts';
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

const CHEAP = { promptPriceMicro: 150_000n, completionPriceMicro: 600_000n };

let ledger: LedgerFixture;
beforeAll(async () => {
  ledger = await createLedgerFixture();
});
afterAll(async () => {
  expect(await drift(ledger.app)).toEqual([]);
  await ledger.close();
});

function request(account: Account, change: Partial<HoldRequest> = {}): HoldRequest {
  return {
    reservationId: randomUUID(),
    ...account,
    nftId: NFT_ID,
    pool: 'cheap',
    promptTokens: 1000,
    maxTokens: 1000,
    ...change,
  };
}

function settlement(reservationId: string, change: Partial<Settlement> = {}): Settlement {
  return {
    reservationId,
    carrier: 'done_event',
    promptTokens: 100,
    completionTokens: 200,
    poolUsed: 'cheap',
    model: 'm',
    personalityId: 'p',
    latencyMs: 5,
    ...change,
  };
}

describe('a hold', () => {
  it('moves the worst case from available to held', async () => {
    const account = await openCommunity(ledger.owner);
    await mint(ledger.app, account.communityId, 1000n);
    const decision = await ledger.newService().reserve(request(account));
    expect(decision).toMatchObject({ accepted: true, holdMicro: 750n, priceVersion: 1 });
    expect(await balances(ledger.app, account.communityId)).toMatchObject({
      available: 250n,
      held: 750n,
    });
  });

  describe('whose answer was lost, when it is repeated', () => {
    /** The first statement is done, and its connection breaks before the answer. */
    const repeating = (): Queryable => {
      let isFirst = true;
      return {
        query: repeatingLost(
          async <R extends QueryResultRow>(...statement: [string | QueryConfig, unknown[]?]) => {
            const result = await ledger.app.query<R>(...statement);
            if (!isFirst) return result;
            isFirst = false;
            throw new Error('Connection terminated unexpectedly');
          },
        ),
      };
    };

    it('is answered as it would have been, and held once', async () => {
      const [account, other] = [
        await openCommunity(ledger.owner),
        await openCommunity(ledger.owner),
      ];
      // The second one's credits suffice for two, so that its repetition meets the first one's row.
      await mint(ledger.app, account.communityId, 2_000n);
      await mint(ledger.app, other.communityId, 2_000n);
      const answer = await ledger.newService().reserve(request(account));
      const repeated = await ledger.newService({ db: repeating() }).reserve(request(other));
      const timeless = (decision: HoldDecision) => ({ ...decision, reservationId: '', limits: '' });
      expect(timeless(repeated)).toEqual(timeless(answer));
      expect(await balances(ledger.app, other.communityId)).toMatchObject({ held: 750n });
    });

    it('is held once in company too, whose members are decided as they were', async () => {
      const account = await openCommunity(ledger.owner);
      await mint(ledger.app, account.communityId, 750n * 2n + 1n);
      const service = ledger.newService({ db: repeating() });
      const decisions = await Promise.all([1, 2, 3].map(() => service.reserve(request(account))));
      expect(decisions.map(({ accepted }) => accepted)).toEqual([true, true, false]);
      expect(await balances(ledger.app, account.communityId)).toMatchObject({
        available: 1n,
        held: 1_500n,
      });
    });

    it('is refused when it has been given back meanwhile', async () => {
      const account = await openCommunity(ledger.owner);
      await mint(ledger.app, account.communityId, 1_000n);
      const hold = request(account);
      const service = ledger.newService();
      await service.reserve(hold);
      await service.release(hold.reservationId, 'refused');
      await expect(service.reserve(hold)).rejects.toMatchObject({ code: 'service_unavailable' });
      expect(await balances(ledger.app, account.communityId)).toMatchObject({ held: 0n });
    });
  });

  it('is refused beyond the balance with what is left and what would fit', async () => {
    const account = await openCommunity(ledger.owner);
    await mint(ledger.app, account.communityId, 500n);
    const decision = await ledger.newService().reserve(request(account));
    expect(decision).toMatchObject({
      accepted: false,
      code: 'insufficient_credits',
      requiredMicro: 750n,
      availableMicro: 500n,
      maxTokensThatFit: 583,
    });
    const smaller = await ledger.newService().reserve(request(account, { maxTokens: 583 }));
    expect(smaller.accepted).toBe(true);
  });

  it('is decided alone and in order when many arrive at once: credits for K serve exactly K', async () => {
    const account = await openCommunity(ledger.owner);
    const served = 20;
    await mint(ledger.app, account.communityId, 750n * BigInt(served) + 749n);
    const replicas = [ledger.newService(), ledger.newService()];
    const decisions = await Promise.all(
      Array.from({ length: served * 10 }, (_, index) =>
        replicas[index % 2]!.reserve(request(account)),
      ),
    );
    expect(decisions.filter((decision) => decision.accepted)).toHaveLength(served);
    expect(await balances(ledger.app, account.communityId)).toMatchObject({
      available: 749n,
      held: 750n * BigInt(served),
    });
  });

  it('lets a smaller request pass that comes after one that does not fit', async () => {
    const account = await openCommunity(ledger.owner);
    await mint(ledger.app, account.communityId, 100n);
    const service = ledger.newService();
    const [large, small] = await Promise.all([
      service.reserve(request(account)),
      service.reserve(request(account, { promptTokens: 10, maxTokens: 10 })),
    ]);
    expect([large.accepted, small.accepted]).toEqual([false, true]);
  });

  it('counts requests a minute, and a refused one burns nothing', async () => {
    const account = await openCommunity(ledger.owner, { rpm: 2 });
    await mint(ledger.app, account.communityId, 800n);
    const service = ledger.newService();
    expect(await service.reserve(request(account))).toMatchObject({
      accepted: true,
      limits: { requestsPerMinute: 2, requestsRemaining: 1 },
    });
    expect(await service.reserve(request(account))).toMatchObject({
      code: 'insufficient_credits',
      limits: { requestsRemaining: 1 },
    });
    const small = { promptTokens: 10, maxTokens: 10 };
    expect(await service.reserve(request(account, small))).toMatchObject({ accepted: true });
    const refused = await service.reserve(request(account, small));
    expect(refused).toMatchObject({ code: 'rate_limited', limits: { requestsRemaining: 0 } });
    await ledger.owner.query(
      `UPDATE freeside.api_key_usage SET minute_started = minute_started - interval '61 seconds' WHERE key_id = $1`,
      [account.apiKeyId],
    );
    expect(await service.reserve(request(account, small))).toMatchObject({
      accepted: true,
      limits: { requestsRemaining: 1 },
    });
  });

  it('counts worst-case tokens a day and gives back at settlement what was not used', async () => {
    const account = await openCommunity(ledger.owner, { tpd: 2500 });
    await mint(ledger.app, account.communityId, 10_000n);
    const service = ledger.newService();
    const first = request(account);
    await service.reserve(first);
    expect(await service.reserve(request(account))).toMatchObject({
      code: 'token_limit_reached',
      maxTokensThatFit: 0,
      limits: { tokensPerDay: 2500, tokensRemaining: 500 },
    });
    await service.settle(settlement(first.reservationId));
    expect(await service.reserve(request(account))).toMatchObject({
      accepted: true,
      limits: { tokensRemaining: 2500 - 300 - 2000 },
    });
  });

  it('is refused for a revoked key at once', async () => {
    const account = await openCommunity(ledger.owner);
    await mint(ledger.app, account.communityId, 10_000n);
    await ledger.owner.query(
      'UPDATE freeside.api_keys SET is_active = false, revoked_at = now() WHERE id = $1',
      [account.apiKeyId],
    );
    expect(await ledger.newService().reserve(request(account))).toMatchObject({
      accepted: false,
      code: 'invalid_api_key',
    });
  });

  it("never draws on another community's balance", async () => {
    const rich = await openCommunity(ledger.owner);
    const poor = await openCommunity(ledger.owner);
    await mint(ledger.app, rich.communityId, 10_000n);
    const mixed = request({ communityId: rich.communityId, apiKeyId: poor.apiKeyId });
    expect(await ledger.newService().reserve(mixed)).toMatchObject({ code: 'invalid_api_key' });
  });
});

describe('a settlement', () => {
  async function held(): Promise<{ account: Account; hold: HoldRequest }> {
    const account = await openCommunity(ledger.owner);
    await mint(ledger.app, account.communityId, 1000n);
    const hold = request(account);
    await ledger.newService().reserve(hold);
    return { account, hold };
  }
  const charge = priceTokens(CHEAP, { promptTokens: 100, completionTokens: 200 });

  it('charges what was delivered once, whichever carriers bring it and however often', async () => {
    const { account, hold } = await held();
    const [a, b] = [ledger.newService(), ledger.newService()];
    await Promise.all([
      a.settle(settlement(hold.reservationId)),
      b.settle(settlement(hold.reservationId, { carrier: 'usage_event' })),
      a.settle(settlement(hold.reservationId, { carrier: 'response_header' })),
      b.settle(settlement(hold.reservationId, { carrier: 'usage_event' })),
    ]);
    expect(await balances(ledger.app, account.communityId)).toMatchObject({
      available: 1000n - charge,
      held: 0n,
      spent: charge,
    });
  });

  it('corrects to zero what finn reported but nobody received', async () => {
    const { account, hold } = await held();
    const service = ledger.newService();
    await service.settle(settlement(hold.reservationId, { carrier: 'usage_event' }));
    await service.release(hold.reservationId, 'timeout');
    expect(await balances(ledger.app, account.communityId)).toMatchObject({
      available: 1000n,
      spent: 0n,
    });
  });

  it('keeps what the relay saw delivered even when a release comes after it', async () => {
    const { account, hold } = await held();
    const service = ledger.newService();
    await service.settle(settlement(hold.reservationId, { carrier: 'done_event' }));
    await service.release(hold.reservationId, 'timeout');
    expect(await balances(ledger.app, account.communityId)).toMatchObject({ spent: charge });
  });

  it('charges the pool that answered, not the dearer one that was held', async () => {
    const account = await openCommunity(ledger.owner);
    await mint(ledger.app, account.communityId, 100_000n);
    const service = ledger.newService();
    const hold = request(account, { pool: 'architect' });
    await service.reserve(hold);
    await service.settle(settlement(hold.reservationId, { poolUsed: 'cheap' }));
    expect(await balances(ledger.app, account.communityId)).toMatchObject({ spent: charge });
  });

  it.each(['40P01', '40001', 'P0001'])(
    'and a progress note keep their counts when the batch fails with %s and is tried again',
    async (code) => {
      const [noted, settled] = [await held(), await held()];
      let failures = 1;
      const db: Queryable = {
        query: (statement, values) => {
          failures -= 1;
          if (failures >= 0) return Promise.reject(Object.assign(new Error('failed'), { code }));
          return ledger.app.query(statement, values);
        },
      };
      const service = ledger.newService({ db });
      const { reservationId } = noted.hold;
      const note = {
        reservationId,
        promptTokens: 7,
        completionTokens: 9,
        poolUsed: 'cheap',
      } as const;
      service.noteProgress({ ...note, completionTokens: 3 });
      service.noteProgress(note);
      await service.settle(settlement(settled.hold.reservationId));
      await service.drain();
      const { rows } = await ledger.app.query(
        `SELECT status, relayed_prompt_tokens, relayed_completion_tokens, relayed_pool
         FROM freeside.budget_reservations WHERE id = ANY ($1) ORDER BY status DESC`,
        [[reservationId, settled.hold.reservationId]],
      );
      expect(rows).toMatchObject([
        {
          status: 'streaming',
          relayed_prompt_tokens: 7,
          relayed_completion_tokens: 9,
          relayed_pool: 'cheap',
        },
        { status: 'finalized' },
      ]);
    },
  );

  it('is refused for a pool without a price, and charges nothing', async () => {
    const { account, hold } = await held();
    const unpriced = settlement(hold.reservationId, { poolUsed: 'gold' as 'cheap' });
    await expect(ledger.newService().settle(unpriced)).rejects.toThrow('has no price');
    expect(await balances(ledger.app, account.communityId)).toMatchObject({ spent: 0n });
  });

  it('is dropped by a progress note that comes after it', async () => {
    const { hold } = await held();
    const service = ledger.newService();
    await service.settle(settlement(hold.reservationId));
    service.noteProgress({
      reservationId: hold.reservationId,
      promptTokens: 1,
      completionTokens: 1,
      poolUsed: 'cheap',
    });
    await service.drain();
    const { rows } = await ledger.app.query(
      'SELECT status, relayed_completion_tokens FROM freeside.budget_reservations WHERE id = $1',
      [hold.reservationId],
    );
    expect(rows).toEqual([{ status: 'finalized', relayed_completion_tokens: 0 }]);
  });
});

describe('the jobs', () => {
  it('release holds that nobody reported on for five minutes, and capture a late report', async () => {
    const account = await openCommunity(ledger.owner);
    await mint(ledger.app, account.communityId, 1000n);
    const service = ledger.newService();
    const hold = request(account);
    await service.reserve(hold);
    await letTimePass(ledger.owner, account.communityId, 290);
    await service.releaseOrphans(100);
    expect(await balances(ledger.app, account.communityId)).toMatchObject({ held: 750n });
    await letTimePass(ledger.owner, account.communityId, 20);
    await service.releaseOrphans(100);
    expect(await balances(ledger.app, account.communityId)).toMatchObject({ held: 0n });
    await service.settle(settlement(hold.reservationId, { carrier: 'usage_event' }));
    const late = priceTokens(CHEAP, { promptTokens: 100, completionTokens: 200 });
    expect(await balances(ledger.app, account.communityId)).toMatchObject({ spent: late });
  });

  it('settle a quiet stream to what was relayed; a second run changes nothing', async () => {
    const account = await openCommunity(ledger.owner);
    await mint(ledger.app, account.communityId, 1000n);
    const service = ledger.newService();
    const hold = request(account);
    await service.reserve(hold);
    service.noteProgress({
      reservationId: hold.reservationId,
      promptTokens: 90,
      completionTokens: 40,
      poolUsed: 'cheap',
    });
    await service.drain();
    await letTimePass(ledger.owner, account.communityId, 130);
    await service.reconcileQuietStreams(100);
    const proven = priceTokens(CHEAP, { promptTokens: 90, completionTokens: 40 });
    expect(await balances(ledger.app, account.communityId)).toMatchObject({
      held: 0n,
      spent: proven,
    });
    expect(await service.reconcileQuietStreams(100)).toBe(0);
    expect(await balances(ledger.app, account.communityId)).toMatchObject({ spent: proven });
  });
});

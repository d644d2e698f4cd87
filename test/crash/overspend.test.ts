import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { LIMITS, POOLS, PROMPT_OVERHEAD } from '@arrakis/contracts';
import { priceTokens } from '@arrakis/money';
import { createPool, withTransaction } from '@arrakis/postgres';
import {
  createTestDatabase,
  createTestNats,
  createTestRedis,
  startFakeOpenAI,
  waitFor,
  type FakeOpenAI,
  type TestDatabase,
  type TestNats,
  type TestRedis,
} from '@arrakis/testkit';
import type { Pool } from 'pg';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { mintLot } from '../../services/freeside/src/features/ledger/lot.service.ts';
import { DEMO_CREDITS_MICRO, seedDemo } from '../../scripts/lib/demo.ts';
import { createSystem, type System } from '../support/system.ts';
import { performCall, closeConnections, type CallSpec, type ObservedCall } from './load/call.ts';
import { markedPrompt } from './load/chat-request.ts';
import { PRICES } from './load/unique-usage.ts';

/** Credits for exactly so many requests, and how many times as many come at once. */
const K = 30;
const TIMES = 10;

const AGENT = 'dune-sage';
const POOL = 'architect';
/** So dear that what settling gives back of K holds doesn't pay for one more. */
const MAX_TOKENS = LIMITS.maxTokens;
const MARKER_DIGITS = 4;
const HOLDS_END_WITHIN_MS = 200_000;

let dir: string;
let vendor: FakeOpenAI;
let database: TestDatabase;
let redis: TestRedis;
let nats: TestNats;
let db: Pool;
let system: System;

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'arrakis-overspend-'));
  vendor = await startFakeOpenAI({
    // Each answer uses all that its hold allows for.
    models: { fake: { usage: { promptTokens: 1_000_000, completionTokens: MAX_TOKENS } } },
  });
  [database, redis, nats] = await Promise.all([
    createTestDatabase(),
    createTestRedis(),
    createTestNats(),
  ]);
  db = createPool({
    url: database.migratorUrl,
    max: 2,
    applicationName: 'overspend',
    onError: () => undefined,
  });
  const target = {
    name: 'fake',
    provider: 'openai-compatible',
    model: 'fake',
    baseUrl: vendor.baseUrl,
    apiKey: 'env:FAKE_VENDOR_KEY',
  };
  system = await createSystem({
    dir,
    database,
    redisUrl: redis.url,
    natsUrl: nats.url,
    pools: Object.fromEntries(POOLS.map((pool) => [pool, { targets: [target] }])),
    vendorKey: vendor.apiKey,
    replicas: { api: 2 },
  });
});
afterAll(async () => {
  closeConnections();
  await system.stop();
  await vendor.close();
  await db.end();
  await Promise.all([database.drop(), redis.drop(), nats.drop()]);
  await rm(dir, { recursive: true, force: true });
});

/** The worst case of one request, reckoned here once more. */
function holdOf(prompt: string): bigint {
  const promptTokens =
    Buffer.byteLength(prompt) +
    PROMPT_OVERHEAD.personalityBytes +
    2 * PROMPT_OVERHEAD.tokensPerMessage +
    PROMPT_OVERHEAD.tokensPerRequest;
  return priceTokens(PRICES[POOL], { promptTokens, completionTokens: MAX_TOKENS });
}

function markerOf(index: number): string {
  return `o-${String(index).padStart(MARKER_DIGITS, '0')}`;
}

async function balances(communityId: string): Promise<Record<string, bigint>> {
  const { rows } = await db.query<{ kind: string; balance_micro: bigint }>(
    'SELECT kind, balance_micro FROM freeside.accounts WHERE community_id = $1',
    [communityId],
  );
  return Object.fromEntries(rows.map((row) => [row.kind, row.balance_micro]));
}

/** Asks again after a 503, which on a slow machine an honest service may give: it decided nothing. */
function untilDecided(onRepeat: () => void, spec: CallSpec): Promise<ObservedCall> {
  return waitFor(
    async () => {
      const call = await performCall(spec);
      if (call.status !== 503) return call;
      onRepeat();
      return undefined;
    },
    { timeoutMs: 120_000, intervalMs: 250, what: 'an answer other than 503' },
  );
}

it('credits for K requests serve exactly K of 10 K that come at once to two replicas', async () => {
  const funded = BigInt(K) * holdOf(markedPrompt(markerOf(0)));
  const { communityId } = await withTransaction(db, async (tx) => {
    const seeded = await seedDemo(tx);
    await mintLot(tx, {
      communityId: seeded.communityId,
      amountMicro: funded - DEMO_CREDITS_MICRO,
      source: 'grant',
      sourceRef: 'overspend',
      expiresAt: null,
    });
    return seeded;
  });
  const apiKey = await system.createApiKey('demo');
  await system.start();
  const apis = system.members.filter(({ kind }) => kind === 'api');

  let repeats = 0;
  const calls = await Promise.all(
    Array.from({ length: K * TIMES }, (_none, index): Promise<ObservedCall> => {
      const replica = index % apis.length;
      return untilDecided(() => (repeats += 1), {
        marker: markerOf(index),
        community: communityId,
        apiKey,
        replica,
        baseUrl: apis[replica]!.url!,
        route: index % 3 === 0 ? 'chat_completions' : 'inference',
        agent: AGENT,
        stream: index % 4 < 2,
        maxTokens: MAX_TOKENS,
        includeUsage: true,
        deadlineMs: 90_000,
      });
    }),
  );
  const served = calls.filter(({ outcome }) => outcome === 'completed');
  const refused = calls.filter(({ status }) => status === 402);
  expect(served.length + refused.length).toBe(K * TIMES);
  const asked = vendor.requests.filter(({ path }) => path.endsWith('/chat/completions')).length;
  // An honest 503 may give its hold back when the others have been refused already.
  expect(served.length).toBeLessThanOrEqual(K);
  expect(asked).toBeLessThanOrEqual(K + repeats);
  if (repeats === 0) expect({ served: served.length, asked }).toEqual({ served: K, asked: K });

  // The answer goes out first and its settlement right after it.
  // A hold that a 503 left behind ends by its deadline.
  await waitFor(async () => (await balances(communityId)).held === 0n, {
    timeoutMs: HOLDS_END_WITHIN_MS,
    intervalMs: 100,
  });
  const paid = served.reduce((sum, { usage }) => sum + priceTokens(PRICES[POOL], usage!), 0n);
  const after = await balances(communityId);
  expect(after).toMatchObject({ spent: paid, available: funded - paid, held: 0n, minted: -funded });
  if (served.length === K) {
    expect(after.available).toBeLessThan(holdOf(markedPrompt(markerOf(0))));
  }
  const { rows } = await db.query<{ status: string; count: bigint }>(
    'SELECT status, count(*) FROM freeside.budget_reservations GROUP BY status',
  );
  const finalized = rows.find(({ status }) => status === 'finalized')?.count;
  expect(finalized).toBe(BigInt(served.length));
  if (repeats === 0) expect(rows).toHaveLength(1);
}, 480_000);

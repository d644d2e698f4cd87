import { randomUUID } from 'node:crypto';
import { jetstream, jetstreamManager, type JetStreamClient } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/transport-node';
import { CONTRACT_VERSION, USAGE_STREAM, type UsageEvent } from '@arrakis/contracts';
import { priceTokens } from '@arrakis/money';
import { ensureUsageStreams, natsOptions } from '@arrakis/nats';
import { createLogger, createRegistry } from '@arrakis/service-kit';
import { createTestNats, waitFor } from '@arrakis/testkit';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { connectNats } from '../../nats.ts';
import { createReservationEvents } from './events.ts';
import {
  NFT_ID,
  balances,
  createLedgerFixture,
  drift,
  mint,
  openCommunity,
  type Account,
  type LedgerFixture,
} from './test-support/ledger-fixture.ts';
import { UsageConsumer } from './usage.consumer.ts';

type Nats = Awaited<ReturnType<typeof createTestNats>>;

const logger = createLogger({ service: 'test', level: 'silent' });
const CHEAP = { promptPriceMicro: 150_000n, completionPriceMicro: 600_000n };

let ledger: LedgerFixture;
let nats: Nats;
let connection: NatsConnection;
let client: JetStreamClient;
let consumers: UsageConsumer[] = [];

beforeAll(async () => {
  ledger = await createLedgerFixture();
  nats = await createTestNats();
  connection = await connectNats(natsOptions(nats.url, 'test'), logger);
  client = jetstream(connection);
  await ensureUsageStreams(await jetstreamManager(connection));
});
afterEach(async () => {
  await Promise.all(consumers.map((consumer) => consumer.close()));
  consumers = [];
});
afterAll(async () => {
  expect(await drift(ledger.app)).toEqual([]);
  await connection.close();
  await nats.stop();
  await ledger.close();
});

function startConsumer(settle = ledger.newService()): UsageConsumer {
  const consumer = new UsageConsumer({
    connect: async () => ({ client, manager: await jetstreamManager(connection) }),
    settle: (settlement) => settle.settleNow(settlement),
    events: createReservationEvents(createRegistry('test'), logger),
    logger,
  });
  consumers.push(consumer);
  void consumer.run();
  return consumer;
}

async function heldReservation(): Promise<{ account: Account; reservationId: string }> {
  const account = await openCommunity(ledger.owner);
  await mint(ledger.app, account.communityId, 10_000n);
  const reservationId = randomUUID();
  await ledger.newService().reserve({
    reservationId,
    ...account,
    nftId: NFT_ID,
    pool: 'cheap',
    promptTokens: 1000,
    maxTokens: 1000,
  });
  return { account, reservationId };
}

function usage(
  account: Account,
  reservationId: string,
  change: Partial<UsageEvent> = {},
): UsageEvent {
  return {
    contract_version: CONTRACT_VERSION,
    budget_reservation_id: reservationId,
    community_id: account.communityId,
    nft_id: NFT_ID,
    tokens_used: 300,
    prompt_tokens: 100,
    completion_tokens: 200,
    model: 'm',
    pool_used: 'cheap',
    personality_id: 'p',
    latency_ms: 5,
    finality: 'final',
    occurred_at: new Date().toISOString(),
    ...change,
  };
}

async function publish(event: unknown, msgID: string): Promise<void> {
  await client.publish(USAGE_STREAM.subject, JSON.stringify(event), { msgID });
}

async function pending(): Promise<number> {
  const manager = await jetstreamManager(connection);
  return (await manager.streams.info(USAGE_STREAM.name)).state.messages;
}

async function parked(): Promise<number> {
  const manager = await jetstreamManager(connection);
  return (await manager.streams.info(USAGE_STREAM.parkedName)).state.messages;
}

const charge = priceTokens(CHEAP, { promptTokens: 100, completionTokens: 200 });

describe('the usage consumer', () => {
  it('settles a reservation that nobody else settled and removes the event', async () => {
    const { account, reservationId } = await heldReservation();
    startConsumer();
    await publish(usage(account, reservationId), reservationId);
    await waitFor(async () => (await pending()) === 0);
    expect(await balances(ledger.app, account.communityId)).toMatchObject({
      held: 0n,
      spent: charge,
    });
  });

  it('charges once when the same event comes again under another message id', async () => {
    const { account, reservationId } = await heldReservation();
    for (const copy of ['a', 'b', 'c'])
      await publish(usage(account, reservationId), copy + reservationId);
    startConsumer();
    startConsumer();
    await waitFor(async () => (await pending()) === 0);
    expect(await balances(ledger.app, account.communityId)).toMatchObject({ spent: charge });
  });

  it('keeps an event until its settlement has committed', async () => {
    const { account, reservationId } = await heldReservation();
    await publish(usage(account, reservationId), reservationId);
    const service = ledger.newService();
    let failures = 0;
    const consumer = new UsageConsumer({
      connect: async () => ({ client, manager: await jetstreamManager(connection) }),
      settle: (settlement) => {
        failures += 1;
        if (failures === 1) throw new Error('the process dies here');
        return service.settleNow(settlement);
      },
      events: createReservationEvents(createRegistry('test'), logger),
      logger,
    });
    consumers.push(consumer);
    void consumer.run();
    await waitFor(async () => (await pending()) === 0);
    expect(failures).toBe(2);
    expect(await balances(ledger.app, account.communityId)).toMatchObject({ spent: charge });
  });

  it('parks what it cannot read or does not know, and goes on with the rest', async () => {
    const { account, reservationId } = await heldReservation();
    const before = await parked();
    await publish('not a usage event', randomUUID());
    await publish(usage(account, reservationId, { completion_tokens: -1 }), randomUUID());
    const unknown = randomUUID();
    await publish(usage(account, unknown), unknown);
    await publish(usage(account, reservationId), reservationId);
    startConsumer();
    await waitFor(async () => (await pending()) === 0);
    expect((await parked()) - before).toBe(3);
    expect(await balances(ledger.app, account.communityId)).toMatchObject({ spent: charge });
  });

  it('settles a journal that proves less than the relay saw to what the relay saw', async () => {
    const { account, reservationId } = await heldReservation();
    const service = ledger.newService();
    service.noteProgress({
      reservationId,
      promptTokens: 100,
      completionTokens: 50,
      poolUsed: 'cheap',
    });
    await service.drain();
    await publish(
      usage(account, reservationId, { finality: 'recovered', completion_tokens: 40 }),
      reservationId,
    );
    startConsumer();
    await waitFor(async () => (await pending()) === 0);
    expect(await balances(ledger.app, account.communityId)).toMatchObject({
      spent: priceTokens(CHEAP, { promptTokens: 100, completionTokens: 50 }),
    });
  });

  it('brings its stream and consumer back after NATS lost its store', async () => {
    startConsumer();
    const manager = await jetstreamManager(connection);
    await waitFor(async () => (await pending()) === 0);
    await manager.streams.delete(USAGE_STREAM.name);
    const { account, reservationId } = await heldReservation();
    await waitFor(
      async () => {
        try {
          await publish(usage(account, reservationId), reservationId);
          return true;
        } catch {
          return false;
        }
      },
      { timeoutMs: 20_000 },
    );
    await waitFor(async () => (await pending()) === 0);
    expect(await balances(ledger.app, account.communityId)).toMatchObject({ spent: charge });
  });
});

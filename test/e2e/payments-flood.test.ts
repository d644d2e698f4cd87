import { createHmac } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { signNotice, waitFor } from '@arrakis/testkit';
import { Pool } from 'undici';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { MODELS, call, drift, startPlatform, type Platform } from './support/platform.ts';

const SECRET = 'NP-IPN-SECRET-flood-4c1d';
const PER_SECOND = 2_000;
const FORGED = 20_000;
const GENUINE_PER_SECOND = 20;
const GENUINE = 200;
const CHATS_PER_SECOND = 5;
const CHATS = 50;
const BAITS = 20;
/** Whose X-Forwarded-For is believed; what comes from elsewhere can write into it what it likes. */
const PROXY = '127.0.0.9';
/** The flood comes from all of them; the genuine sender shares the first and the second. */
const SOURCES: readonly Source[] = [
  { localAddress: '127.0.0.1', forwardedFor: undefined },
  { localAddress: PROXY, forwardedFor: '198.51.100.7' },
  { localAddress: '127.0.0.2', forwardedFor: '203.0.113.5' },
  { localAddress: '127.0.0.3', forwardedFor: undefined },
  { localAddress: PROXY, forwardedFor: '198.51.100.8' },
  { localAddress: PROXY, forwardedFor: undefined },
];
const CONNECTIONS = 16;

interface Source {
  readonly localAddress: string;
  readonly forwardedFor: string | undefined;
}

let platform: Platform;
let senders: Sender[];
beforeAll(async () => {
  platform = await startPlatform({
    api: { NOWPAYMENTS_IPN_SECRET: SECRET, FREESIDE_TRUSTED_PROXIES: PROXY },
  });
  senders = SOURCES.map((source) => new Sender(platform.apiUrl, source));
}, 180_000);
afterAll(async () => {
  await Promise.all(senders.map((sender) => sender.close()));
  await platform.stop();
});

/** Posts notices from one address, as somebody who may come through the proxy. */
class Sender {
  readonly #pool: Pool;
  readonly #headers: Readonly<Record<string, string>>;

  constructor(origin: string, { localAddress, forwardedFor }: Source) {
    this.#pool = new Pool(origin, { connections: CONNECTIONS, connect: { localAddress } });
    this.#headers = {
      'content-type': 'application/json',
      ...(forwardedFor === undefined ? {} : { 'x-forwarded-for': forwardedFor }),
    };
  }

  async post(body: string, signature: string): Promise<number> {
    const response = await this.#pool.request({
      method: 'POST',
      path: '/api/crypto/webhook',
      headers: { ...this.#headers, 'x-nowpayments-sig': signature },
      body,
    });
    await response.body.dump();
    return response.statusCode;
  }

  close(): Promise<void> {
    return this.#pool.close();
  }
}

/** Payments of the demo community, with notices that would credit them. */
async function openPayments(count: number): Promise<{ id: string; told: object }[]> {
  const opened: { id: string; told: object }[] = [];
  while (opened.length < count) {
    const { rows } = await platform.db.query<{ id: string }>(
      `SELECT p.id FROM (SELECT id FROM freeside.community_members WHERE community_id = $1 LIMIT 1) m
       CROSS JOIN LATERAL freeside.create_payment(gen_random_uuid(), $1, m.id, gen_random_uuid()::text, 'standard') p`,
      [platform.communityId],
    );
    const id = rows[0]!.id;
    // A community may have twenty of an hour of which nothing was heard.
    await platform.db.query(
      `UPDATE freeside.crypto_payments SET created_at = created_at - interval '1 hour' WHERE id = $1`,
      [id],
    );
    opened.push({ id, told: finished(id) });
  }
  return opened;
}

let lastVendorPayment = 6_000_000_000;
function finished(orderId: string): object {
  lastVendorPayment += 1;
  return {
    payment_id: lastVendorPayment,
    payment_status: 'finished',
    price_amount: 10,
    price_currency: 'usd',
    pay_amount: 80.5,
    actually_paid: 80.5,
    pay_currency: 'trx',
    order_id: orderId,
    fee: { currency: 'btc', depositFee: 0.09, withdrawalFee: 0, serviceFee: 0 },
  };
}

/** What is made up for after the machine had no time for us. */
const MAX_LATE_MS = 250;

/** Starts one after the other by the clock, whatever became of the earlier ones, and never faster. */
async function paced<T>(
  count: number,
  perSecond: number,
  start: (index: number) => Promise<T>,
): Promise<T[]> {
  const started: Promise<T>[] = [];
  let nextMs = performance.now();
  while (started.length < count) {
    nextMs = Math.max(nextMs, performance.now() - MAX_LATE_MS);
    for (; nextMs <= performance.now() && started.length < count; nextMs += 1000 / perSecond) {
      started.push(start(started.length));
    }
    await pause(2);
  }
  return Promise.all(started);
}

const forgedSignatures = [
  '0'.repeat(128),
  createHmac('sha512', '').update('{}').digest('hex'),
  'f'.repeat(128),
];

function flood(baits: readonly { readonly told: object }[]): Promise<number[]> {
  const bodies = baits.map(({ told }) => JSON.stringify(told));
  return paced(FORGED, PER_SECOND, (index) =>
    senders[index % senders.length]!.post(
      bodies[index % bodies.length]!,
      forgedSignatures[index % forgedSignatures.length]!,
    ),
  );
}

function tellGenuine(payments: readonly { readonly told: object }[]): Promise<number[]> {
  return paced(payments.length, GENUINE_PER_SECOND, (index) => {
    const { told } = payments[index]!;
    return senders[index % 2]!.post(JSON.stringify(told), signNotice(told, SECRET));
  });
}

function chat(): Promise<number[]> {
  platform.vendor.script(MODELS.cheap, { steps: ['Spice'] });
  return paced(CHATS, CHATS_PER_SECOND, async () => {
    const response = await call(platform, '/v1/chat/completions', {
      model: 'market-scout',
      messages: [{ role: 'user', content: 'Hello' }],
      max_completion_tokens: 16,
    });
    await response.text();
    return response.status;
  });
}

/** Of a counter of the api, summed over the series whose labels contain `label`. */
async function counter(name: string, label: string): Promise<number> {
  const text = await (await fetch(`${platform.adminUrls.api}/metrics`)).text();
  return text
    .split('\n')
    .filter((line) => line.startsWith(`${name}{`) && line.includes(label))
    .reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' '))), 0);
}

interface Written {
  readonly deliveries: number;
  readonly reviews: number;
  readonly credited: number;
  /** Row versions too: an update that changes nothing would show. */
  readonly baits: string;
}

async function written(genuine: readonly string[], baits: readonly string[]): Promise<Written> {
  const { rows } = await platform.db.query<Written>(
    `SELECT (SELECT count(*)::int FROM freeside.payment_deliveries) AS deliveries,
            (SELECT count(*)::int FROM freeside.payment_reviews) AS reviews,
            (SELECT count(*)::int FROM freeside.crypto_payments
             WHERE credits_minted_at IS NOT NULL AND id = ANY ($1)) AS credited,
            (SELECT string_agg(p.xmin || ' ' || p::text, ',' ORDER BY p.id)
             FROM freeside.crypto_payments p WHERE p.id = ANY ($2)) AS baits`,
    [genuine, baits],
  );
  return rows[0]!;
}

/** How many transactions the whole database has seen, once everybody but us has told. */
async function transactions(): Promise<number> {
  const { rows } = await platform.db.query<{ n: number }>(
    `SELECT (xact_commit + xact_rollback)::int AS n FROM pg_stat_database
     WHERE datname = current_database()`,
  );
  return rows[0]!.n;
}

async function isApiConnected(): Promise<boolean> {
  const { rows } = await platform.db.query<{ is: boolean }>(
    `SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database()
                    AND application_name LIKE 'freeside-api%') AS is`,
  );
  return rows[0]!.is;
}

describe('two thousand forged notices a second for ten seconds', () => {
  /** Of what came before: starting, seeding and selling. */
  let transactionsBefore = 0;

  it('keep no genuine one out, write nothing, and leave the chat alone', async ({ annotate }) => {
    const genuine = await openPayments(GENUINE);
    const baits = await openPayments(BAITS);
    const genuineIds = genuine.map(({ id }) => id);
    const baitIds = baits.map(({ id }) => id);
    const before = await written(genuineIds, baitIds);
    transactionsBefore = await transactions();

    const beganMs = performance.now();
    let elapsedMs = 0;
    const [forgedAnswers, genuineAnswers, chats] = await Promise.all([
      flood(baits).finally(() => (elapsedMs = performance.now() - beganMs)),
      tellGenuine(genuine),
      chat(),
    ]);

    expect(genuineAnswers).toEqual(Array<number>(GENUINE).fill(200));
    expect(chats).toEqual(Array<number>(CHATS).fill(200));
    expect(forgedAnswers.filter((status) => status !== 401 && status !== 429)).toEqual([]);

    // Each forged post is one more in a counter, and nowhere else.
    const refused = await counter('freeside_payment_webhook_refusals_total', 'reason');
    expect(refused).toBe(FORGED);
    expect(await written(genuineIds, baitIds)).toEqual({
      deliveries: GENUINE,
      reviews: 0,
      credited: GENUINE,
      baits: before.baits,
    });
    expect(await drift(platform)).toEqual([]);
    await annotate(`${Math.round((FORGED * 1000) / elapsedMs)} forged posts/s were answered`);
  });

  it('asked the database nothing', async ({ annotate }) => {
    // A connection has told all it did when it ends.
    expect(await isApiConnected()).toBe(true);
    await platform.services.api.stop();
    await waitFor(async () => !(await isApiConnected()));
    const seen = (await transactions()) - transactionsBefore;
    await annotate(`${seen} transactions meanwhile, of everybody`);
    expect(seen).toBeGreaterThan(GENUINE);
    expect(seen).toBeLessThan(FORGED / 4);
  });
});

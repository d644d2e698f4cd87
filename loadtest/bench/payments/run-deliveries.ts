import { createHash } from 'node:crypto';
import { createPool } from '@arrakis/postgres';
import { Pool } from 'undici';
import { arrive } from '../lib/arrivals.ts';
import type { Marks } from '../lib/load-messages.ts';
import { Histogram, summarise } from '../lib/statistics.ts';
import { countCredited, openPayments } from './open-payments.ts';
import { planDeliveries, type Delivery } from './plan.ts';
import type { DeliveriesLoad, DeliveriesResult } from './protocol.ts';

/** More than any machine here takes; a closed loop that runs out of payments fails. */
const CLOSED_PER_SECOND = 2_000;
const MAX_CONNECTIONS = 256;

/** Resolves with whether the delivery credited a payment. @throws Error at a wrong answer */
type Send = (delivery: Delivery) => Promise<boolean>;

/** Tells of payments as the vendor does. @throws Error unless each was credited once */
export async function runDeliveries(load: DeliveriesLoad, marks: Marks): Promise<DeliveriesResult> {
  const perSecond = load.shape.kind === 'open' ? load.shape.perSecond : CLOSED_PER_SECOND;
  const repeats = load.sends === 'finished' ? load.repeats : 0;
  const wanted = Math.ceil((perSecond * (load.warmUpMs + load.durationMs) * (1 - repeats)) / 1000);
  const payments = await openPayments(load.migratorUrl, load.communities, wanted + 1);
  const plan = planDeliveries(payments, repeats, load.ipnSecret);
  const { send, close } = senderOf(load);
  try {
    const run = new Run(plan, send);
    await run.play(load.shape, load.warmUpMs);
    const creditedBefore = run.credited;
    run.start();
    await marks.begin();
    const beganMs = performance.now();
    await run.play(load.shape, load.durationMs);
    const elapsedMs = performance.now() - beganMs;
    await marks.end();
    const result = run.result(elapsedMs);
    const credited = await countCredited(load.migratorUrl, payments);
    if (credited !== creditedBefore + result.credited.count) {
      throw new Error(`${run.credited} were answered as credited, ${credited} are`);
    }
    return result;
  } finally {
    await close();
  }
}

class Run {
  readonly #plan: readonly Delivery[];
  readonly #send: Send;
  #next = 0;
  #creditedMs: number[] = [];
  #othersMs: number[] = [];
  #lateness = new Histogram();

  constructor(plan: readonly Delivery[], send: Send) {
    this.#plan = plan;
    this.#send = send;
  }

  get credited(): number {
    return this.#creditedMs.length;
  }

  /** Forgets what was measured so far. */
  start(): void {
    this.#creditedMs = [];
    this.#othersMs = [];
    this.#lateness = new Histogram();
  }

  async play(shape: DeliveriesLoad['shape'], durationMs: number): Promise<void> {
    if (shape.kind === 'open') {
      await arrive(shape.perSecond, durationMs, (intendedMs) => this.#one(intendedMs));
      return;
    }
    const untilMs = performance.now() + durationMs;
    const sender = async (): Promise<void> => {
      while (performance.now() < untilMs) await this.#one(performance.now());
    };
    await Promise.all(Array.from({ length: shape.connections }, sender));
  }

  result(elapsedMs: number): DeliveriesResult {
    return {
      deliveries: this.#creditedMs.length + this.#othersMs.length,
      elapsedMs,
      credited: summarise(this.#creditedMs),
      others: summarise(this.#othersMs),
      lateness: this.#lateness.summary(),
    };
  }

  async #one(intendedMs: number): Promise<void> {
    const delivery = this.#plan[this.#next];
    if (delivery === undefined) throw new Error('there are no payments left to tell of');
    this.#next += 1;
    this.#lateness.add(performance.now() - intendedMs);
    const isCredited = await this.#send(delivery);
    (isCredited ? this.#creditedMs : this.#othersMs).push(performance.now() - intendedMs);
  }
}

interface Sender {
  readonly send: Send;
  readonly close: () => Promise<void>;
}

function senderOf(load: DeliveriesLoad): Sender {
  return load.sends === 'row' ? rowSender(load.appUrl) : noticeSender(load);
}

function noticeSender({ origin, sends }: DeliveriesLoad): Sender {
  const pool = new Pool(origin, { connections: MAX_CONNECTIONS });
  const isForged = sends === 'forged';
  const wrongSignature = '0'.repeat(128);
  const send: Send = async ({ body, signature }) => {
    const response = await pool.request({
      method: 'POST',
      path: '/api/crypto/webhook',
      headers: {
        'content-type': 'application/json',
        'x-nowpayments-sig': isForged ? wrongSignature : signature,
      },
      body,
    });
    const answer = (await response.body.json()) as { readonly outcome?: string };
    if (response.statusCode !== (isForged ? 401 : 200)) {
      throw new Error(`a notice was answered with ${response.statusCode}`);
    }
    return answer.outcome === 'advanced';
  };
  return { send, close: () => pool.close() };
}

/** The least that a durable webhook can do: a row and a commit. */
function rowSender(url: string): Sender {
  const db = createPool({ url, max: 10, applicationName: 'bench', onError: () => undefined });
  const send: Send = async ({ body }) => {
    await db.query({
      name: 'bench_row',
      text: `SELECT freeside.keep_delivery(NULL, 'replay', 'unbound', '{}', $1)`,
      values: [createHash('sha256').update(body).digest()],
    });
    return false;
  };
  return { send, close: () => db.end() };
}

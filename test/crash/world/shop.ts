import { createHash, randomBytes } from 'node:crypto';
import { createServer, request, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { startFakeNowPayments } from '@arrakis/testkit';
import { agentFor, headOf } from '../load/call.ts';
import type { AnsweredNotice, Shop, SignedNotice } from '../payments/types.ts';
import type { ApiReplica } from '../types.ts';

/** With the means to aim and to end it. */
export interface RunningShop extends Shop {
  /** From now on notices go to these, in turn. */
  serve(apis: readonly ApiReplica[]): void;
  close(): Promise<void>;
}

/**
 * The vendor, and what stands between it and the apis: its notices go to one replica after the other
 * over the clients' wires, and what was answered 2xx is noted, as that must never be lost.
 */
export async function startShop(): Promise<RunningShop> {
  const apiKey = randomBytes(16).toString('hex');
  const ipnSecret = randomBytes(16).toString('hex');
  const vendor = await startFakeNowPayments({ apiKey, ipnSecret });
  const front = await openFront();
  return {
    vendor,
    answered: () => front.answered,
    told: () => [...front.told.values()],
    post: (body, signature, replica) => front.forward(body, signature, replica),
    env: {
      NOWPAYMENTS_BASE_URL: vendor.url,
      NOWPAYMENTS_API_KEY: apiKey,
      NOWPAYMENTS_IPN_SECRET: ipnSecret,
      FREESIDE_PUBLIC_URL: front.url,
    },
    serve: (apis) => front.serve(apis),
    async giveUp() {
      let isSettled = false;
      void vendor.settled().then(() => {
        isSettled = true;
      });
      await standstill(() => isSettled, front.answered);
      front.refuse();
      return isSettled;
    },
    async close() {
      await Promise.all([vendor.close(), front.close()]);
    },
  };
}

/** Longer than the vendor waits between two attempts. */
const STANDSTILL_MS = 5_000;

async function standstill(isOver: () => boolean, grows: readonly unknown[]): Promise<void> {
  let { length } = grows;
  let sinceMs = performance.now();
  while (!isOver() && performance.now() - sinceMs < STANDSTILL_MS) {
    if (grows.length !== length) sinceMs = performance.now();
    ({ length } = grows);
    await pause(50);
  }
}

interface Front {
  readonly url: string;
  readonly answered: readonly AnsweredNotice[];
  /** By their hash. */
  readonly told: ReadonlyMap<string, SignedNotice>;
  serve(apis: readonly ApiReplica[]): void;
  forward(body: Buffer, signature: string, replica: number): Promise<number>;
  refuse(): void;
  close(): Promise<void>;
}

/** As many as the vendor has under way at once. What piles up while nothing answers takes its turn. */
const UNDER_WAY = 24;

/** At most so many at once, the others in the order in which they came. */
function inTurn(atOnce: number): <T>(work: () => Promise<T>) => Promise<T> {
  const waiting: (() => void)[] = [];
  let underWay = 0;
  return async (work) => {
    if (underWay >= atOnce) await new Promise<void>((resolve) => waiting.push(resolve));
    else underWay += 1;
    try {
      return await work();
    } finally {
      const next = waiting.shift();
      if (next === undefined) underWay -= 1;
      else next();
    }
  };
}

async function openFront(): Promise<Front> {
  const takeTurn = inTurn(UNDER_WAY);
  const answered: AnsweredNotice[] = [];
  const told = new Map<string, SignedNotice>();
  let apis: readonly ApiReplica[] = [];
  let turn = 0;
  let isRefusing = false;

  const forward = async (body: Buffer, signature: string, replica: number): Promise<number> => {
    const api = apis[replica % Math.max(1, apis.length)];
    if (api === undefined) return 502;
    const status = await postNotice(api.url, body, signature);
    if (status < 200 || status >= 300) return status;
    const note = noteOf(body, replica % apis.length);
    answered.push(note);
    if (!told.has(note.bodyHash)) told.set(note.bodyHash, { body, signature });
    return status;
  };
  const serveOne = async (incoming: IncomingMessage, response: ServerResponse): Promise<void> => {
    const body = await bytesOf(incoming);
    turn += 1;
    const signature = String(incoming.headers['x-nowpayments-sig']);
    const replica = turn;
    const isLate = (): boolean => isRefusing || response.destroyed;
    const status = await takeTurn(async () => (isLate() ? 503 : forward(body, signature, replica)));
    response.writeHead(status).end();
  };
  const server = createServer((incoming, response) => {
    serveOne(incoming, response).catch(() => response.destroy());
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, '127.0.0.1', resolve);
  });
  return {
    url: `http://127.0.0.1:${String((server.address() as AddressInfo).port)}`,
    answered,
    told,
    forward,
    serve(replicas) {
      apis = replicas;
    },
    refuse() {
      isRefusing = true;
    },
    async close() {
      const closed = new Promise<void>((resolve) => {
        server.close(() => resolve());
      });
      server.closeAllConnections();
      await closed;
    },
  };
}

/** As long as the vendor waits for an answer. */
const ANSWER_TIMEOUT_MS = 3_000;

/** 502 when nobody answered in time. */
async function postNotice(baseUrl: string, body: Buffer, signature: string): Promise<number> {
  const call = request(`${baseUrl}/api/crypto/webhook`, {
    method: 'POST',
    agent: agentFor(baseUrl),
    headers: { 'content-type': 'application/json', 'x-nowpayments-sig': signature },
  });
  const timer = setTimeout(() => call.destroy(new Error('deadline')), ANSWER_TIMEOUT_MS);
  call.end(body);
  try {
    const answer = await headOf(call);
    answer.resume();
    return answer.statusCode ?? 502;
  } catch {
    return 502;
  } finally {
    clearTimeout(timer);
  }
}

function noteOf(body: Buffer, replica: number): AnsweredNotice {
  const { order_id: paymentId, payment_status: status } = JSON.parse(body.toString('utf8')) as {
    readonly order_id: string;
    readonly payment_status: string;
  };
  return { paymentId, status, bodyHash: createHash('sha256').update(body).digest('hex'), replica };
}

async function bytesOf(incoming: IncomingMessage): Promise<Buffer> {
  const parts: Buffer[] = [];
  for await (const part of incoming as AsyncIterable<Buffer>) parts.push(part);
  return Buffer.concat(parts);
}

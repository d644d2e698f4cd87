import { randomBytes } from 'node:crypto';
import { Agent } from 'node:http';
import { createPool } from '@arrakis/postgres';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { quantile } from './support/distribution.ts';
import { mebibytes, pingUntil, startFront, type Front } from './support/front.ts';
import {
  agentAt,
  ask,
  compare,
  loopback,
  makeKeys,
  newKey,
  serviceAlone,
  timeOverHttp,
  timeService,
} from './support/key-refusals.ts';

/** Without its HMAC a refusal takes a third; without its query, a tenth. */
const ALIKE = 0.6;
const GROWTH_BYTES = 200 * 1024 * 1024;
const CEILING_MS = 15_000;

let front: Front;
beforeAll(async () => {
  front = await startFront();
});
afterAll(async () => {
  await front.stop();
});

function print(lines: readonly string[]): void {
  for (const line of lines) process.stderr.write(`[front] ${line}\n`);
}

describe('how long a refusal takes', () => {
  it('does not tell an unknown prefix, a wrong secret and a revoked key apart', async () => {
    const pepper = `1:${randomBytes(32).toString('base64')}`;
    const keys = await makeKeys(front.db, pepper, 400);
    const db = createPool({
      url: front.database.appUrl,
      max: 2,
      applicationName: 'front',
      onError: () => undefined,
    });
    const service = serviceAlone(db, pepper);
    try {
      const { warm, cold } = await timeService(service, keys, 4_000);
      for (const { ratio, lines } of [compare('from caches', warm), compare('by a query', cold)]) {
        print(lines);
        expect(ratio).toBeGreaterThan(ALIKE);
      }
    } finally {
      await service.close();
      await db.end();
    }
  });

  it('does not over HTTP either', async () => {
    // Of another pepper: a right secret that is revoked is the one thing that this can't show.
    const keys = await makeKeys(front.db, `1:${randomBytes(32).toString('base64')}`, 300);
    const { ratio, lines } = compare('over HTTP', await timeOverHttp(front.apiUrl, keys));
    print(lines);
    expect(ratio).toBeGreaterThan(ALIKE);
  });
});

interface Flood {
  readonly statuses: Readonly<Record<number, number>>;
  readonly healthyMs: readonly number[];
  /** Of the same requests, what the api itself took for them. */
  readonly insideMs: readonly number[];
}

/** What the api took for the requests of good keys, from its log's line `from` on. */
function insideSince(from: number): number[] {
  return front.services.api
    .logs()
    .slice(from)
    .filter(({ route, status }) => route === '/api/v1/balance' && status === 200)
    .map(({ durationMs }) => Number(durationMs));
}

/** Guessers that try a key after the other, while good keys are used from the same address. */
async function flood(guessers: readonly (() => Promise<number>)[], tries: number): Promise<Flood> {
  const statuses: Record<number, number> = {};
  const over = new AbortController();
  const from = front.services.api.logs().length;
  const healthy = pingUntil(front, over.signal);
  await Promise.all(
    guessers.map(async (guess) => {
      for (let index = 0; index < tries; index += 1) {
        const status = await guess();
        statuses[status] = (statuses[status] ?? 0) + 1;
      }
    }),
  );
  over.abort();
  return { statuses, healthyMs: await healthy, insideMs: insideSince(from) };
}

function report(what: string, quiet: Omit<Flood, 'statuses'>, during: Flood): void {
  const of = (values: readonly number[]): string =>
    `p50 ${quantile(values, 0.5).toFixed(1)} p99 ${quantile(values, 0.99).toFixed(1)} ms (${values.length})`;
  print([
    `${what}: ${JSON.stringify(during.statuses)}`,
    `  a good key before: ${of(quiet.healthyMs)}, of it in the api ${of(quiet.insideMs)}`,
    `  a good key during: ${of(during.healthyMs)}, of it in the api ${of(during.insideMs)}`,
  ]);
}

describe('a flood of bad keys', () => {
  let quiet: Flood;
  let residentBefore: number;
  beforeAll(async () => {
    // Somebody who waits his turn instead of guessing.
    quiet = await flood([() => ask(front.apiUrl, new Agent(), front.apiKey)], 100);
    residentBefore = await front.residentBytes('api');
  });

  it('from a few addresses is asked to wait, and a good key from the same ones is not', async () => {
    const addresses = ['127.0.0.1', '127.0.0.2', '127.0.0.3'];
    const agents = addresses.flatMap((address) =>
      Array.from({ length: 8 }, () => agentAt(address)),
    );
    const result = await flood(
      agents.map((agent) => () => ask(front.apiUrl, agent, newKey())),
      100,
    );
    report('flood from 3 addresses', quiet, result);
    expect(Object.keys(result.statuses).sort()).toEqual(['401', '429']);
    // A burst each, what came with it at once, and what was won by waiting.
    expect(result.statuses[401]).toBeLessThan(400);
    const [agent] = agents;
    expect(await ask(front.apiUrl, agent!, front.apiKey)).toBe(200);
    expect(quantile(result.healthyMs, 0.99)).toBeLessThan(CEILING_MS);
    for (const one of agents) one.destroy();
  });

  it('from thousands of addresses slows no good key, not even one that was never seen', async () => {
    const fresh = await front.createApiKey();
    let next = 1_000;
    const guessers = Array.from({ length: 32 }, () => async () => {
      const agent = agentAt(loopback((next += 1)));
      const status = await ask(front.apiUrl, agent, newKey());
      agent.destroy();
      return status;
    });
    const result = await flood(
      [...guessers, async () => ask(front.apiUrl, agentAt('127.0.0.9'), fresh)],
      64,
    );
    report('flood from 2,048 addresses', quiet, result);
    expect(result.statuses).toEqual({ 200: 64, 401: 2_048 });
    expect(quantile(result.healthyMs, 0.99)).toBeLessThan(CEILING_MS);
    const grownBytes = (await front.residentBytes('api')) - residentBefore;
    print([`api grew by ${mebibytes(grownBytes)} MiB`]);
    expect(grownBytes).toBeLessThan(GROWTH_BYTES);
  });

  it('from one address that claims to be others is one address', async () => {
    const agent = agentAt('127.0.0.77');
    const statuses: number[] = [];
    for (let index = 0; index < 60; index += 1) {
      const address = `203.0.113.${index}`;
      const claims = {
        'x-forwarded-for': address,
        forwarded: `for=${address}`,
        'x-real-ip': address,
      };
      statuses.push(await ask(front.apiUrl, agent, newKey(), claims));
    }
    expect(statuses.slice(0, 30)).toEqual(Array.from({ length: 30 }, () => 401));
    expect(statuses).toContain(429);
    expect(await ask(front.apiUrl, agent, front.apiKey)).toBe(200);
    agent.destroy();
  });
});

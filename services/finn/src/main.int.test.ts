import { randomUUID } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { INFERENCE_PATH, POOLS, type UsageEvent } from '@arrakis/contracts';
import {
  collectSse,
  findFreePort,
  readSse,
  signServiceToken,
  spawnService,
  waitFor,
  type SpawnedService,
} from '@arrakis/testkit';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { request, type Dispatcher } from 'undici';
import {
  COMMUNITY_ID,
  MODEL,
  NFTS,
  startSurroundings,
  vendorTarget,
  type Surroundings,
} from './test-support/start-finn.ts';

const ENTRY = fileURLToPath(new URL('main.ts', import.meta.url));

let around: Surroundings;
let env: Record<string, string>;
let url: string;
let adminUrl: string;
const started: SpawnedService[] = [];

beforeAll(async () => {
  around = await startSurroundings();
  const poolsFile = join(around.spoolDir, 'pools.json');
  const targets = [vendorTarget(around.vendor, 'vendor')];
  const pools = Object.fromEntries(POOLS.map((pool) => [pool, { targets }]));
  await writeFile(poolsFile, JSON.stringify({ pools }));
  const [port, adminPort] = [await findFreePort(), await findFreePort()];
  url = `http://127.0.0.1:${port}`;
  adminUrl = `http://127.0.0.1:${adminPort}`;
  env = {
    NODE_ENV: 'test',
    FINN_PORT: String(port),
    FINN_ADMIN_PORT: String(adminPort),
    DATABASE_URL: around.database.finnUrl,
    REDIS_URL: around.redis.url,
    NATS_URL: around.nats.url,
    JWKS_URL: around.jwks.url,
    FINN_POOLS_FILE: poolsFile,
    FINN_SPOOL_DIR: join(around.spoolDir, 'spool'),
    KEY: around.vendor.apiKey,
  };
});
afterEach(async () => {
  await Promise.all(started.splice(0).map((finn) => finn.kill('SIGKILL')));
});
afterAll(() => around.close());
beforeEach(() => {
  around.vendor.clear();
  around.vendor.script(MODEL, {});
});

async function start(change: Record<string, string> = {}): Promise<SpawnedService> {
  const finn = await spawnService({
    entry: ENTRY,
    env: { ...env, ...change },
    readyUrl: `${adminUrl}/readyz`,
  });
  started.push(finn);
  return finn;
}

async function infer(reservation: string): Promise<Dispatcher.ResponseData> {
  const token = await signServiceToken(around.key, {
    claims: {
      community_id: COMMUNITY_ID,
      nft_id: NFTS.stoic,
      budget_reservation_id: reservation,
    },
  });
  return request(`${url}${INFERENCE_PATH}`, {
    method: 'POST',
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    body: JSON.stringify({ prompt: 'Hello', stream: true }),
  });
}

const usageOf = (reservation: string): Promise<UsageEvent> =>
  waitFor(() => around.usage.events.find((event) => event.budget_reservation_id === reservation));

const get = async (path: string): Promise<{ status: number; text: string }> => {
  const response = await request(`${adminUrl}${path}`);
  return { status: response.statusCode, text: await response.body.text() };
};

describe('the process', () => {
  test('answers, tells its state, and ends on SIGTERM after its streams have', async () => {
    const finn = await start();
    const ready = JSON.parse((await get('/readyz')).text) as unknown;
    expect(ready).toEqual({
      status: 'ready',
      checks: { postgres: 'ok', redis: 'ok', jwks: 'ok', pools: 'ok' },
    });

    around.vendor.script(MODEL, { steps: ['one ', { hold: true }, 'two'] });
    const reservation = randomUUID();
    const response = await infer(reservation);
    await waitFor(() => around.vendor.holding === 1);
    finn.signal('SIGTERM');
    await waitFor(async () => (await get('/readyz')).status === 503);
    around.vendor.release();
    const events = await collectSse(response.body);
    expect(JSON.parse(events.at(-1)?.data ?? '')).toMatchObject({ type: 'done' });
    expect((await usageOf(reservation)).completion_tokens).toBe(2);
    expect(await finn.exited).toEqual({ code: 0, signal: null });
  });

  test('breaks off what outlasts the drain deadline, and counts it', async () => {
    const finn = await start({ DRAIN_DEADLINE_MS: '300' });
    around.vendor.script(MODEL, { steps: ['one ', 'two ', { stall: true }] });
    const reservation = randomUUID();
    const response = await infer(reservation);
    finn.signal('SIGTERM');
    const events = await collectSse(response.body);
    expect(JSON.parse(events.at(-1)?.data ?? '')).toMatchObject({
      type: 'error',
      error: { code: 'inference_failed' },
    });
    expect((await usageOf(reservation)).completion_tokens).toBeGreaterThanOrEqual(1);
    expect((await finn.exited).code).toBe(0);
  });

  test('killed in the middle of a stream reports after its restart what it had delivered', async () => {
    const finn = await start();
    around.vendor.script(MODEL, { steps: ['one ', 'two ', 'three ', { stall: true }] });
    const reservation = randomUUID();
    const response = await infer(reservation);
    response.body.on('error', () => undefined);
    // By hand: leaving a `for await` would close the connection, and finn would count by itself.
    const events = readSse(response.body);
    let tokens = 0;
    while (tokens < 3) {
      const next = await events.next();
      if (next.done !== true) tokens = Number(next.value.id);
    }
    // The journal is written in the turn after the socket took the bytes.
    await waitFor(async () => (await get('/livez')).status === 200);
    await finn.kill('SIGKILL');
    expect(around.usage.events.some((e) => e.budget_reservation_id === reservation)).toBe(false);

    await start();
    const usage = await usageOf(reservation);
    expect(usage).toMatchObject({ finality: 'recovered', completion_tokens: 3 });
    expect(usage.prompt_tokens).toBeGreaterThan(0);
    const again = await infer(reservation);
    expect(again.statusCode).toBe(409);
    await again.body.dump();
  });

  test('is alive but not ready while freeside has no keys for it, and becomes so', async () => {
    around.jwks.serve('away', 503);
    const finn = await spawnService({ entry: ENTRY, env, readyUrl: `${adminUrl}/livez` });
    started.push(finn);
    const { status, text } = await get('/readyz');
    expect(status).toBe(503);
    expect(JSON.parse(text)).toMatchObject({ checks: { jwks: 'failed', postgres: 'ok' } });
    const refused = await infer(randomUUID());
    expect(refused.statusCode).toBe(503);
    expect(refused.headers['retry-after']).toBe('1');
    await refused.body.dump();

    around.jwks.serve({ keys: [around.key.publicJwk] });
    await waitFor(async () => (await get('/readyz')).status === 200);
    const response = await infer(randomUUID());
    expect(response.statusCode).toBe(200);
    await response.body.dump();
  });

  test('has its metrics on the admin port', async () => {
    await start();
    const response = await infer(randomUUID());
    await response.body.dump();
    const { text } = await get('/metrics');
    for (const line of [
      /finn_inference_total\{[^}]*outcome="completed"[^}]*\} 1/,
      /finn_time_to_first_token_seconds_count\{.*\} 1/,
      /finn_tokens_total\{.*kind="completion".*\} 6/,
      /finn_breaker_state\{.*target="vendor".*\} 0/,
      /finn_jwks_fetch_total\{.*outcome="ok".*\} 1/,
      /finn_jwks_age_seconds\{.*\} /,
      /finn_active_streams\{.*\} 0/,
    ]) {
      expect(text).toMatch(line);
    }
  });

  test('does not start with a bad environment, and says what is wrong', async () => {
    const finn = await spawnService({ entry: ENTRY, env: { ...env, FINN_PORT: 'x', KEY: '' } });
    expect((await finn.exited).code).toBe(1);
    expect(finn.stderr.join('\n')).toMatch(/FINN_PORT: expected an integer/);

    const keyless = await spawnService({ entry: ENTRY, env: { ...env, KEY: '' } });
    expect((await keyless.exited).code).toBe(1);
    expect(keyless.stderr.join('\n')).toContain('/pools/cheap/targets/0/apiKey: env:KEY');
  });
});

import { randomUUID, sign } from 'node:crypto';
import { S2S_VERIFY_PATH } from '@arrakis/contracts';
import { serviceClaims, waitFor } from '@arrakis/testkit';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Pool } from 'undici';
import { startFinn, type TestFinn } from '../../test-support/start-finn.ts';

const FLOOD = { tokens: 5_000, connections: 64 };
const VALID = { perSecond: 200, quietAnswers: 200 };

let finn: TestFinn;
beforeAll(async () => {
  finn = await startFinn();
});
afterAll(() => finn.close());

const encode = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');

function token(kid: string): string {
  const input = `${encode({ alg: 'ES256', kid })}.${encode(serviceClaims())}`;
  const key = { key: finn.key.privateKey, dsaEncoding: 'ieee-p1363' } as const;
  return `${input}.${sign('sha256', Buffer.from(input), key).toString('base64url')}`;
}

async function ask(pool: Pool, bearer: string): Promise<{ status: number; ms: number }> {
  const startedAt = performance.now();
  const headers = { authorization: `Bearer ${bearer}` };
  const response = await pool.request({ method: 'POST', path: S2S_VERIFY_PATH, headers });
  await response.body.dump();
  return { status: response.statusCode, ms: performance.now() - startedAt };
}

/** Good tokens at a steady pace, whatever becomes of the earlier ones, until told to stop. */
function validCallers(pool: Pool) {
  const asked: Promise<{ status: number; ms: number }>[] = [];
  const timer = setInterval(
    () => asked.push(ask(pool, token(finn.key.kid))),
    1000 / VALID.perSecond,
  );
  return {
    asked,
    async stop() {
      clearInterval(timer);
      return Promise.all(asked);
    },
  };
}

function quantiles(answers: readonly { ms: number }[]): string {
  const sorted = answers.map(({ ms }) => ms).sort((a, b) => a - b);
  const at = (q: number) => (sorted[Math.floor((sorted.length - 1) * q)] ?? NaN).toFixed(1);
  return `${String(sorted.length)} answers, p50 ${at(0.5)} ms, p99 ${at(0.99)} ms, max ${at(1)} ms`;
}

test('a flood of unknown kids costs freeside one fetch, and valid callers nothing but the CPU', async ({
  annotate,
}) => {
  const valid = new Pool(finn.url, { connections: 16 });
  const hostile = new Pool(finn.url, { connections: FLOOD.connections });
  const tokens = Array.from({ length: FLOOD.tokens }, () => token(`made-up-${randomUUID()}`));
  try {
    const before = validCallers(valid);
    await waitFor(() => before.asked.length >= VALID.quietAnswers);
    const quiet = await before.stop();

    const fetchesBefore = finn.jwks.fetches;
    // Nobody may have to wait for the key set: while it is being fetched, valid kids are known.
    const release = finn.jwks.hold();
    const during = validCallers(valid);
    const flood = Promise.all(tokens.map((each) => ask(hostile, each)));
    const passed = await ask(valid, token(finn.key.kid));
    release();
    const refused = await flood;
    const good = await during.stop();
    const fetches = finn.jwks.fetches - fetchesBefore;

    expect(passed.status).toBe(200);
    expect(new Set(refused.map(({ status }) => status))).toEqual(new Set([401]));
    expect(new Set(good.map(({ status }) => status))).toEqual(new Set([200]));
    // One, and another if the flood outlasts the cooldown on a slow machine.
    expect(fetches).toBeGreaterThanOrEqual(1);
    expect(fetches).toBeLessThanOrEqual(2);
    await annotate(
      `fetches ${String(fetches)}; valid, quiet: ${quantiles(quiet)}; valid, flooded: ${quantiles(good)}; refused: ${quantiles(refused)}`,
    );
  } finally {
    await Promise.all([valid.close(), hostile.close()]);
  }
});

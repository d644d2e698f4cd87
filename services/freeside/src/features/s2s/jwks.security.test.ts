import { createPool } from '@arrakis/postgres';
import { JwkSet } from '@arrakis/contracts';
import { deleteKey, generateKeyPair, publishKey, setExpiry } from '@arrakis/signing-keys';
import { createTestDatabase, startTcpRelay, waitFor, type TestDatabase } from '@arrakis/testkit';
import type { Pool } from 'pg';
import { Value } from 'typebox/value';
import { request } from 'undici';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { watched } from '../api-keys/test-support/watched.ts';
import { startJwksApp, type JwksApp } from './test-support/jwks-app.ts';

const DAY_MS = 24 * 60 * 60 * 1000;

let database: TestDatabase;
/** As the key commands connect. */
let migrator: Pool;
let pool: Pool;
let jwks: JwksApp;
let clockMs = 0;
const cleanups: (() => Promise<unknown>)[] = [];

beforeAll(async () => {
  database = await createTestDatabase();
  migrator = openPool(database.migratorUrl);
  pool = openPool(database.appUrl);
});

beforeEach(async () => {
  await migrator.query('DELETE FROM freeside.s2s_jwks_public_keys');
  clockMs = 0;
  jwks = await startJwksApp(pool, { monotonicMs: () => clockMs });
});

afterEach(async () => {
  await jwks.close();
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

afterAll(async () => {
  await pool.end();
  await migrator.end();
  await database.drop();
});

function openPool(url: string): Pool {
  return createPool({
    url,
    max: 4,
    applicationName: 'test',
    connectTimeoutMs: 500,
    onError: () => undefined,
  });
}

async function publish(
  expiresInMs = DAY_MS,
  issuer: 'loa-freeside' | 'loa-dixie' = 'loa-freeside',
) {
  const { publicJwk } = generateKeyPair(new Date());
  const { kid, x, y } = publicJwk;
  const expiresAt = new Date(Date.now() + expiresInMs);
  expect(await publishKey(migrator, { kid, x, y, issuer, expiresAt })).toBe(true);
  return publicJwk;
}

async function get(headers: Record<string, string> = {}, method: 'GET' | 'HEAD' | 'POST' = 'GET') {
  const { statusCode, headers: got, body } = await request(jwks.url, { method, headers });
  return { statusCode, headers: got, text: await body.text() };
}

describe('the key set endpoint', () => {
  it('serves every key that has not expired, and no others', async () => {
    const keys = [await publish(), await publish(), await publish(DAY_MS, 'loa-dixie')];
    const expired = await publish();
    await setExpiry(migrator, expired.kid, new Date(Date.now() - 1000));
    const { statusCode, headers, text } = await get();
    expect(statusCode).toBe(200);
    expect(headers['cache-control']).toBe('public, max-age=300');
    expect(headers['content-type']).toMatch(/^application\/json/);
    const set: unknown = JSON.parse(text);
    expect(Value.Check(JwkSet, set)).toBe(true);
    const served = (set as JwkSet).keys;
    expect(served.map((key) => key.kid).sort()).toEqual(keys.map((key) => key.kid).sort());
    for (const key of keys) expect(served).toContainEqual(expect.objectContaining(key));
  });

  it('says whose each key is, so that a verifier can bind it to its issuer', async () => {
    const [ours, theirs] = [await publish(), await publish(DAY_MS, 'loa-dixie')];
    const set = JSON.parse((await get()).text) as { keys: { kid: string; issuer: string }[] };
    const issuers = new Map(set.keys.map((key) => [key.kid, key.issuer]));
    expect(issuers.get(ours.kid)).toBe('loa-freeside');
    expect(issuers.get(theirs.kid)).toBe('loa-dixie');
  });

  it('has nothing but public members', async () => {
    await publish();
    const set = JSON.parse((await get()).text) as { keys: object[] };
    for (const key of set.keys) {
      expect(Object.keys(key).sort()).toEqual(
        ['alg', 'crv', 'issuer', 'kid', 'kty', 'use', 'x', 'y'].sort(),
      );
    }
  });

  it('answers 304 without a body for as long as nothing changes', async () => {
    await publish();
    const first = await get();
    const etag = String(first.headers.etag);
    expect(etag).toMatch(/^"[A-Za-z0-9_-]+"$/);
    for (const condition of [etag, `"x", ${etag}`, `W/${etag}`, '*']) {
      const again = await get({ 'if-none-match': condition });
      expect(again).toMatchObject({ statusCode: 304, text: '' });
      expect(again.headers.etag).toBe(etag);
      expect(again.headers['cache-control']).toBe('public, max-age=300');
    }
    expect((await get({ 'if-none-match': '"other"' })).text).toBe(first.text);

    await publish();
    clockMs += 1000;
    const changed = await get({ 'if-none-match': etag });
    expect(changed.statusCode).toBe(200);
    expect(changed.headers.etag).not.toBe(etag);
  });

  it('gives the same bytes and tag on every replica', async () => {
    await publish();
    await publish();
    await publish();
    const other = await startJwksApp(pool);
    cleanups.push(() => other.close());
    const here = await get();
    const there = await request(other.url);
    expect(await there.body.text()).toBe(here.text);
    expect(there.headers.etag).toBe(here.headers.etag);
  });

  it('asks the database at most once a second, whatever the traffic', async () => {
    let queries = 0;
    const counting = watched(pool, () => (queries += 1));
    await publish();
    const counted = await startJwksApp(counting, { monotonicMs: () => clockMs });
    cleanups.push(() => counted.close());
    await Promise.all(
      Array.from({ length: 40 }, () => request(counted.url).then((r) => r.body.dump())),
    );
    expect(queries).toBe(1);
    clockMs += 999;
    await (await request(counted.url)).body.dump();
    expect(queries).toBe(1);
    clockMs += 1;
    await (await request(counted.url)).body.dump();
    expect(queries).toBe(2);
  });

  it('serves an empty set when there are no keys', async () => {
    expect((await get()).text).toBe('{"keys":[]}');
  });

  it('can be asked with HEAD, and not with POST', async () => {
    await publish();
    expect(await get({}, 'HEAD')).toMatchObject({ statusCode: 200, text: '' });
    expect((await get({}, 'POST')).statusCode).toBe(405);
  });

  it('drops a key that was deleted, within its second', async () => {
    const { kid } = await publish();
    expect((await get()).text).toContain(kid);
    await deleteKey(migrator, kid);
    clockMs += 1000;
    expect((await get()).text).not.toContain(kid);
  });
});

describe('when the database is away', () => {
  /** An endpoint whose database is behind a wire that the test can cut. */
  async function wired(wallClockMs = () => Date.now()) {
    const target = new URL(database.appUrl);
    const relay = await startTcpRelay({ targetPort: Number(target.port) });
    target.hostname = relay.host;
    target.port = String(relay.port);
    const wiredPool = openPool(target.href);
    await jwks.close();
    jwks = await startJwksApp(wiredPool, { monotonicMs: () => clockMs, wallClockMs });
    cleanups.push(async () => {
      await relay.close();
      await wiredPool.end();
    });
    return relay;
  }

  it('the last good set is served on, less what expires meanwhile', async () => {
    let aheadMs = 0;
    const relay = await wired(() => Date.now() + aheadMs);
    const [short, long] = [await publish(60_000), await publish(DAY_MS)];
    const before = await get();
    await relay.cut();
    clockMs += 10_000;
    const during = await get();
    expect(during).toMatchObject({ statusCode: 200, text: before.text });
    aheadMs = 61_000;
    clockMs += 10_000;
    const later = await get();
    expect(later.text).toContain(long.kid);
    expect(later.text).not.toContain(short.kid);
    expect(later.headers.etag).not.toBe(before.headers.etag);

    await relay.restore();
    const next = await publish();
    await waitFor(async () => {
      clockMs += 1000;
      return (await get()).text.includes(next.kid);
    });
  });

  it('a database that never answers does not hold up a set that is at hand', async () => {
    const relay = await wired();
    const { kid } = await publish();
    await get();
    relay.blackHole();
    clockMs += 10_000;
    const askedAt = performance.now();
    expect((await get()).text).toContain(kid);
    expect(performance.now() - askedAt).toBeLessThan(2000);
    await relay.restore();
  });

  it('a process that never had a set says 503', async () => {
    const relay = await wired();
    await relay.cut();
    const answer = await get();
    expect(answer.statusCode).toBe(503);
    expect(answer.headers['retry-after']).toBe('1');
    expect(JSON.parse(answer.text)).toMatchObject({ code: 'service_unavailable' });
  });
});

describe('the metric of the active key', () => {
  it('tells when it leaves the set, and 0 when it is not in it', async () => {
    const { kid } = await publish(60_000);
    let active: string | undefined = kid;
    const watched = await startJwksApp(pool, {
      activeKid: () => active,
      monotonicMs: () => clockMs,
    });
    cleanups.push(() => watched.close());
    const gauge = async (): Promise<number> => {
      clockMs += 1000;
      await (await request(watched.url)).body.dump();
      const metric = watched.registry.getSingleMetric(
        'freeside_s2s_active_key_expires_timestamp_seconds',
      );
      return (await metric?.get())?.values[0]?.value ?? Number.NaN;
    };
    expect(Math.abs((await gauge()) - (Date.now() + 60_000) / 1000)).toBeLessThan(10);
    active = 'not-published';
    expect(await gauge()).toBe(0);
  });
});

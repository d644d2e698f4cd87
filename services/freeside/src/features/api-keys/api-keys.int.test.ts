import { createLogger, createRegistry } from '@arrakis/service-kit';
import { createPool } from '@arrakis/postgres';
import {
  createTestDatabase,
  startTcpRelay,
  waitFor,
  type TcpRelay,
  type TestDatabase,
} from '@arrakis/testkit';
import type { Pool } from 'pg';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { createApiKeyEvents } from './events.ts';
import { KeyManagementService } from './key-management.service.ts';
import { parsePeppers } from './pepper.domain.ts';
import { ApiKeyService, ApiKeysUnavailableError, type ApiKeyServiceOptions } from './service.ts';
import { ALL_ON, insertCommunity, randomPepperText } from './test-support/community.ts';
import { watched } from './test-support/watched.ts';

const ADDRESS = '192.0.2.1';
const pepperText = randomPepperText(1);
const peppers = parsePeppers(pepperText);
const logger = createLogger({ service: 'test', level: 'silent' });

let database: TestDatabase;
let pool: Pool;
let keys: KeyManagementService;
const cleanups: (() => Promise<unknown>)[] = [];

beforeAll(async () => {
  database = await createTestDatabase();
  pool = openPool(database.appUrl);
  keys = new KeyManagementService(pool, ALL_ON, peppers);
});

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

afterAll(async () => {
  await pool.end();
  await database.drop();
});

function openPool(url: string, connectTimeoutMs = 5000): Pool {
  return createPool({
    url,
    max: 4,
    applicationName: 'test',
    connectTimeoutMs,
    onError: () => undefined,
  });
}

/** One replica's service; `registry` holds its metrics. */
function replica(options: Partial<ApiKeyServiceOptions> = {}) {
  const registry = createRegistry('test');
  const service = new ApiKeyService({
    db: pool,
    peppers,
    events: createApiKeyEvents(registry, logger),
    lastUsedIntervalMs: 3_600_000,
    ...options,
  });
  cleanups.push(() => service.close());
  return { service, registry };
}

async function newKey(environment: 'live' | 'test' = 'live') {
  const user = await insertCommunity(pool, { slug: `c-${crypto.randomUUID()}` });
  const result = await keys.create({ ...user, environment, name: 'k' });
  if (!result.ok) throw new Error(result.detail);
  return { ...result, user, header: `Bearer ${result.cleartext}` };
}

async function metric(registry: ReturnType<typeof createRegistry>, name: string): Promise<number> {
  const { values } = (await registry.getSingleMetric(name)?.get()) ?? { values: [] };
  return values.reduce((sum, { value }) => sum + value, 0);
}

describe('a valid key', () => {
  it('tells whom it speaks for', async () => {
    const { service } = replica();
    const { header, key, user } = await newKey('test');
    expect(await service.authenticate(header, ADDRESS)).toEqual({
      ok: true,
      principal: {
        keyId: key.keyId,
        userId: user.userId,
        communityId: user.communityId,
        communityTier: 'pro',
        environment: 'test',
        scopes: ['inference', 'read'],
      },
    });
  });

  it('costs no database round trip while it is cached', async () => {
    let queries = 0;
    const counting = watched(pool, () => (queries += 1));
    const { service } = replica({ db: counting, monotonicMs: () => 0 });
    const { header } = await newKey();
    for (let index = 0; index < 200; index += 1) await service.authenticate(header, ADDRESS);
    expect(queries).toBe(1);
  });

  it('is found out about as soon as the negative cache forgets its prefix', async () => {
    const { service } = replica();
    const { cleartext, key } = await newKey();
    await pool.query('UPDATE freeside.api_keys SET key_prefix = $2 WHERE id = $1', [
      key.keyId,
      'lf_live_zzzzzzzzzzzz',
    ]);
    const header = `Bearer ${cleartext}`;
    expect(await service.authenticate(header, ADDRESS)).toMatchObject({ ok: false });
    await pool.query('UPDATE freeside.api_keys SET key_prefix = $2 WHERE id = $1', [
      key.keyId,
      key.keyPrefix,
    ]);
    const madeAt = performance.now();
    await waitFor(async () => (await service.authenticate(header, '198.51.100.7')).ok, {
      timeoutMs: 5000,
      intervalMs: 50,
    });
    expect(performance.now() - madeAt).toBeLessThan(5000);
  });
});

describe('a key that must not work', () => {
  it('is refused alike for an unknown prefix, a wrong secret and a revoked key', async () => {
    const { service } = replica();
    const revoked = await newKey();
    await keys.revoke(revoked.key.keyId);
    const good = await newKey();
    const wrongSecret = `Bearer ${good.key.keyPrefix}_${'0'.repeat(32)}`;
    const unknown = `Bearer lf_live_aaaaaaaaaaaa_${'0'.repeat(32)}`;
    for (const header of [revoked.header, wrongSecret, unknown]) {
      expect(await service.authenticate(header, ADDRESS)).toEqual({
        ok: false,
        code: 'invalid_api_key',
      });
    }
  });

  it('stops within two seconds of its revocation on every replica, under traffic', async () => {
    const replicas = [replica(), replica(), replica()].map(({ service }) => service);
    const { header, key } = await newKey();
    const traffic = async (): Promise<boolean[]> =>
      Promise.all(replicas.map(async (one) => (await one.authenticate(header, ADDRESS)).ok));
    expect(await traffic()).toEqual([true, true, true]);

    await keys.revoke(key.keyId);
    const revokedAt = performance.now();
    const tooLate: boolean[][] = [];
    await waitFor(
      async () => {
        const askedAt = performance.now();
        const answers = await traffic();
        // Whoever asks two seconds after the commit must be refused.
        if (askedAt - revokedAt >= 2000 && answers.includes(true)) tooLate.push(answers);
        return answers.every((ok) => !ok);
      },
      { intervalMs: 20 },
    );
    expect(tooLate).toEqual([]);
  });

  it('is one whose community was switched off', async () => {
    const { service } = replica();
    const { header, user } = await newKey();
    await pool.query('UPDATE freeside.communities SET is_active = false WHERE id = $1', [
      user.communityId,
    ]);
    expect(await service.authenticate(header, ADDRESS)).toMatchObject({ code: 'invalid_api_key' });
  });

  it('is one whose pepper was retired, and a metric says so', async () => {
    const { header } = await newKey();
    const { service, registry } = replica({ peppers: parsePeppers(randomPepperText(2)) });
    expect(await service.authenticate(header, ADDRESS)).toMatchObject({ code: 'invalid_api_key' });
    expect(await metric(registry, 'freeside_api_key_pepper_missing_total')).toBe(1);

    const both = replica({ peppers: parsePeppers(`${pepperText},${randomPepperText(2)}`) });
    expect(await both.service.authenticate(header, ADDRESS)).toMatchObject({ ok: true });
    expect(await metric(both.registry, 'freeside_api_key_pepper_missing_total')).toBe(0);
  });
});

describe('failed attempts', () => {
  it('slow their address down, but no good key that was seen from there', async () => {
    let nowMs = 0;
    const { service } = replica({ monotonicMs: () => nowMs });
    const good = await newKey();
    const fresh = await newKey();
    const wrong = `Bearer ${good.key.keyPrefix}_${'0'.repeat(32)}`;
    expect(await service.authenticate(good.header, ADDRESS)).toMatchObject({ ok: true });

    for (let index = 0; index < 30; index += 1) {
      expect(await service.authenticate(wrong, ADDRESS)).toMatchObject({ code: 'invalid_api_key' });
    }
    expect(await service.authenticate(wrong, ADDRESS)).toEqual({
      ok: false,
      code: 'rate_limited',
      retryAfterSeconds: 2,
    });
    expect(await service.authenticate('Bearer nonsense', ADDRESS)).toMatchObject({
      code: 'rate_limited',
    });
    expect(await service.authenticate(fresh.header, ADDRESS)).toMatchObject({
      code: 'rate_limited',
    });
    expect(await service.authenticate(good.header, ADDRESS)).toMatchObject({ ok: true });
    // Also when its record has to be read again.
    nowMs = 1900;
    expect(await service.authenticate(good.header, ADDRESS)).toMatchObject({ ok: true });
    // And nobody elsewhere is touched.
    expect(await service.authenticate(fresh.header, '198.51.100.1')).toMatchObject({ ok: true });
    nowMs = 2000;
    expect(await service.authenticate(wrong, ADDRESS)).toMatchObject({ code: 'invalid_api_key' });
  });
});

describe('when the database is away', () => {
  let relay: TcpRelay;

  /** A replica whose database is behind a wire that the test can cut. */
  async function wired() {
    const target = new URL(database.appUrl);
    relay = await startTcpRelay({ targetPort: Number(target.port) });
    target.port = String(relay.port);
    target.hostname = relay.host;
    const wiredPool = openPool(target.href, 500);
    cleanups.push(async () => {
      await relay.close();
      await wiredPool.end();
    });
    return replica({ db: wiredPool });
  }

  it('serves a cached key for two seconds, then says it cannot, then recovers', async () => {
    const { service, registry } = await wired();
    const { header } = await newKey();
    const askedAt = performance.now();
    expect(await service.authenticate(header, ADDRESS)).toMatchObject({ ok: true });
    await relay.cut();
    expect(await service.authenticate(header, ADDRESS)).toMatchObject({ ok: true });
    const refusal = await waitFor(
      () =>
        service.authenticate(header, ADDRESS).then(
          () => undefined,
          (error: unknown) => error,
        ),
      { timeoutMs: 4000, intervalMs: 20 },
    );
    expect(refusal).toBeInstanceOf(ApiKeysUnavailableError);
    expect(performance.now() - askedAt).toBeGreaterThanOrEqual(2000);
    expect(await metric(registry, 'freeside_api_key_lookup_failures_total')).toBeGreaterThan(0);

    await relay.restore();
    await waitFor(async () => (await service.authenticate(header, ADDRESS)).ok);
  });

  it('gives up on a database that accepts but never answers', async () => {
    const { service } = await wired();
    const { header } = await newKey();
    relay.blackHole();
    const askedAt = performance.now();
    await expect(service.authenticate(header, ADDRESS)).rejects.toBeInstanceOf(
      ApiKeysUnavailableError,
    );
    expect(performance.now() - askedAt).toBeLessThan(2500);
  });

  it('still refuses what is malformed', async () => {
    const { service } = await wired();
    await relay.cut();
    expect(await service.authenticate(undefined, ADDRESS)).toEqual({
      ok: false,
      code: 'unauthorized',
    });
  });
});

describe('the last use of a key', () => {
  const lastUsedAt = async (keyId: string): Promise<Date | undefined> =>
    (await keys.list({ ref: keyId, includeRevoked: true }))[0]?.lastUsedAt;

  it('is written when the service closes', async () => {
    const { service } = replica({ wallClockMs: () => Date.UTC(2026, 10, 22, 12) });
    const { header, key } = await newKey();
    await service.authenticate(header, ADDRESS);
    expect(await lastUsedAt(key.keyId)).toBeUndefined();
    await service.close();
    expect(await lastUsedAt(key.keyId)).toEqual(new Date(Date.UTC(2026, 10, 22, 12)));
  });

  it('is written every few seconds, in one statement for all keys', async () => {
    const statements: string[] = [];
    const recording = watched(pool, (sql) => statements.push(sql));
    const { service } = replica({ db: recording, lastUsedIntervalMs: 50 });
    const made = [await newKey(), await newKey(), await newKey()];
    await Promise.all(made.map(({ header }) => service.authenticate(header, ADDRESS)));
    await waitFor(async () => (await lastUsedAt(made[2]!.key.keyId)) !== undefined);
    for (const { key } of made) expect(await lastUsedAt(key.keyId)).toBeDefined();
    expect(statements.filter((sql) => sql.includes('UPDATE freeside.api_keys'))).toHaveLength(1);
  });

  it('never moves back, and replicas that write the same keys do not wait for each other', async () => {
    const later = replica({ wallClockMs: () => 2_000_000_000_000 }).service;
    const earlier = replica({ wallClockMs: () => 1_000_000_000_000 }).service;
    const { header, key } = await newKey();
    const blocker = await pool.connect();
    await blocker.query('BEGIN');
    await blocker.query('SELECT 1 FROM freeside.api_keys WHERE id = $1 FOR UPDATE', [key.keyId]);
    await later.authenticate(header, ADDRESS);
    await later.flush();
    await blocker.query('COMMIT');
    blocker.release();

    await later.authenticate(header, ADDRESS);
    await later.flush();
    await earlier.authenticate(header, ADDRESS);
    await earlier.flush();
    expect(await lastUsedAt(key.keyId)).toEqual(new Date(2_000_000_000_000));
  });

  it('is kept for the next batch when writing fails', async () => {
    let broken = true;
    const flaky = watched(pool, (sql) => {
      if (broken && sql.includes('UPDATE')) throw new Error('away');
    });
    const { service, registry } = replica({ db: flaky });
    const { header, key } = await newKey();
    await service.authenticate(header, ADDRESS);
    await service.flush();
    expect(await metric(registry, 'freeside_api_key_last_used_failures_total')).toBe(1);
    broken = false;
    await service.flush();
    expect(await lastUsedAt(key.keyId)).toBeDefined();
  });
});

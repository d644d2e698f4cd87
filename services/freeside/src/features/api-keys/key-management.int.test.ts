import { createPool } from '@arrakis/postgres';
import { createTestDatabase, type TestDatabase } from '@arrakis/testkit';
import type { Pool } from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseApiKey } from './api-key-format.domain.ts';
import { KeyManagementService, type IssuedKey, type KeyRefusal } from './key-management.service.ts';
import { ALL_ON, insertCommunity, insertMember, randomPeppers } from './test-support/community.ts';

let database: TestDatabase;
let pool: Pool;
let keys: KeyManagementService;
const peppers = randomPeppers();

beforeAll(async () => {
  database = await createTestDatabase();
  pool = openPool();
  keys = new KeyManagementService(pool, ALL_ON, peppers);
});

afterAll(async () => {
  await pool.end();
  await database.drop();
});

function openPool(): Pool {
  return createPool({
    url: database.appUrl,
    max: 6,
    applicationName: 'test',
    onError: () => undefined,
  });
}

function issued(result: IssuedKey | KeyRefusal): IssuedKey {
  if (!result.ok) throw new Error(`refused: ${result.detail}`);
  return result;
}

describe('creating a key', () => {
  it('stores a hash and never the secret', async () => {
    const { communityId, userId } = await insertCommunity(pool, { slug: 'secrets' });
    const { key, cleartext } = issued(
      await keys.create({ communityId, userId, environment: 'live', name: ' my key ' }),
    );
    const parsed = parseApiKey(cleartext)!;
    expect(key).toMatchObject({
      keyPrefix: parsed.keyPrefix,
      name: 'my key',
      userName: 'Chani',
      isActive: true,
      limits: { requestsPerMinute: 60, tokensPerDay: 1_000_000 },
      lastUsedAt: undefined,
      revokedAt: undefined,
    });
    const { rows } = await pool.query<{ key_hash: Buffer }>(
      'SELECT * FROM freeside.api_keys WHERE id = $1',
      [key.keyId],
    );
    const dump = JSON.stringify(rows, (_, value: unknown) =>
      typeof value === 'bigint' ? String(value) : value,
    );
    expect(dump).toContain(parsed.keyPrefix);
    expect(dump).not.toContain(parsed.secret);
    expect(rows[0]!.key_hash).toHaveLength(32);
    expect(rows[0]!.key_hash.includes(parsed.secret)).toBe(false);
  });

  it('gives the limit counters their row', async () => {
    const { communityId, userId } = await insertCommunity(pool, { slug: 'counters' });
    const { key } = issued(
      await keys.create({ communityId, userId, environment: 'live', name: 'k' }),
    );
    const { rows } = await pool.query('SELECT 1 FROM freeside.api_key_usage WHERE key_id = $1', [
      key.keyId,
    ]);
    expect(rows).toHaveLength(1);
  });

  it('stops at ten active keys a user, however many ask at once from several processes', async () => {
    const { communityId, userId } = await insertCommunity(pool, { slug: 'crowd' });
    const elsewhere = openPool();
    const others = new KeyManagementService(elsewhere, ALL_ON, peppers);
    const results = await Promise.all(
      Array.from({ length: 24 }, (_, index) =>
        (index % 2 === 0 ? keys : others).create({
          communityId,
          userId,
          environment: 'live',
          name: `k${index}`,
        }),
      ),
    );
    await elsewhere.end();
    expect(results.filter((result) => result.ok)).toHaveLength(10);
    for (const result of results) if (!result.ok) expect(result.code).toBe('too_many_keys');
    const active = await keys.list({ userId, includeRevoked: false });
    expect(active).toHaveLength(10);

    expect((await keys.revoke(active[0]!.keyPrefix)).ok).toBe(true);
    expect((await keys.create({ communityId, userId, environment: 'test', name: 'k' })).ok).toBe(
      true,
    );
  });

  it('lets a user with ten keys rotate one', async () => {
    const { communityId, userId } = await insertCommunity(pool, { slug: 'full' });
    const made: IssuedKey[] = [];
    for (let index = 0; index < 10; index += 1) {
      const name = `k${index}`;
      made.push(issued(await keys.create({ communityId, userId, environment: 'live', name })));
    }
    const successor = issued(await keys.rotate(made[3]!.key.keyId));
    expect(successor.key.name).toBe('k3');
    expect(await keys.list({ userId, includeRevoked: false })).toHaveLength(10);
  });

  it('refuses a member of another community as if there were none', async () => {
    const ours = await insertCommunity(pool, { slug: 'ours' });
    const theirs = await insertCommunity(pool, { slug: 'theirs' });
    const crossed = { communityId: ours.communityId, userId: theirs.userId };
    expect(await keys.create({ ...crossed, environment: 'live', name: 'k' })).toMatchObject({
      code: 'user_not_found',
    });
  });

  it.each(['', '   ', 'x'.repeat(121), 'a\u0000b', 'a\nb', 'lone \ud800'])(
    'refuses a bad name (case %#)',
    async (name) => {
      const { communityId, userId } = await insertCommunity(pool, {
        slug: `names-${Math.random().toString(36).slice(2)}`,
      });
      expect(await keys.create({ communityId, userId, environment: 'live', name })).toMatchObject({
        ok: false,
        code: 'invalid_name',
      });
    },
  );

  it('gives sandbox keys their small limits and refuses larger ones', async () => {
    const { communityId, userId } = await insertCommunity(pool, { slug: 'sandbox' });
    const base = { communityId, userId, environment: 'test', name: 'k' } as const;
    const { key, cleartext } = issued(await keys.create(base));
    expect(cleartext).toMatch(/^lf_test_/);
    expect(key.limits).toEqual({ requestsPerMinute: 10, tokensPerDay: 10_000 });
    expect(await keys.create({ ...base, tokensPerDay: 10_001 })).toMatchObject({
      ok: false,
      code: 'invalid_limits',
    });
  });
});

describe('while the feature is switched off', () => {
  it('refuses new keys, and lets those that exist be listed, rotated and revoked', async () => {
    const { communityId, userId } = await insertCommunity(pool, { slug: 'switched-off' });
    const input = { communityId, userId, environment: 'live', name: 'k' } as const;
    const old = issued(await keys.create(input));
    const flags = { isEnabled: (name: string) => name !== 'FEATURE_API_KEYS_ENABLED' };
    const off = new KeyManagementService(pool, flags, peppers);
    expect(await off.create(input)).toMatchObject({ ok: false, code: 'feature_disabled' });
    expect(await off.list({ userId, includeRevoked: true })).toHaveLength(1);
    const successor = issued(await off.rotate(old.key.keyId));
    expect((await off.revoke(successor.key.keyId)).ok).toBe(true);
    flags.isEnabled = () => true;
    expect((await off.create(input)).ok).toBe(true);
  });
});

describe('rotating a key', () => {
  it('revokes it and makes one successor with the same name, scopes and limits', async () => {
    const { communityId, userId } = await insertCommunity(pool, { slug: 'rotate' });
    const old = issued(
      await keys.create({
        communityId,
        userId,
        environment: 'live',
        name: 'bot',
        requestsPerMinute: 7,
        tokensPerDay: 77,
        scopes: ['read'],
      }),
    );
    // However many rotate the same key at once, there is one successor.
    const results = await Promise.all([1, 2, 3, 4].map(() => keys.rotate(old.key.keyPrefix)));
    const successors = results.filter((result) => result.ok);
    expect(successors).toHaveLength(1);
    for (const result of results) if (!result.ok) expect(result.code).toBe('key_revoked');
    expect(successors[0]!.cleartext).not.toBe(old.cleartext);
    expect(successors[0]!.key).toMatchObject({
      name: 'bot',
      scopes: ['read'],
      limits: { requestsPerMinute: 7, tokensPerDay: 77 },
    });
    const all = await keys.list({ userId, includeRevoked: true });
    expect(all.map((key) => key.isActive).sort()).toEqual([false, true]);
  });
});

describe('whose keys may be touched', () => {
  it('is limited to the owner when one is given', async () => {
    const ours = await insertCommunity(pool, { slug: 'owner-a' });
    const theirs = await insertCommunity(pool, { slug: 'owner-b' });
    const { key } = issued(await keys.create({ ...ours, environment: 'live', name: 'k' }));
    const stranger = { communityId: theirs.communityId, userId: theirs.userId };
    expect(await keys.revoke(key.keyId, stranger)).toMatchObject({ code: 'key_not_found' });
    expect(await keys.rotate(key.keyPrefix, stranger)).toMatchObject({ code: 'key_not_found' });
    expect((await keys.revoke(key.keyId, ours)).ok).toBe(true);
    expect(await keys.revoke(key.keyId, ours)).toMatchObject({ code: 'key_revoked' });
  });
});

describe('finding a member', () => {
  it('takes an id or a whole name, and says who there is when neither fits', async () => {
    const community = await insertCommunity(pool, { slug: 'finding', userName: 'Stilgar' });
    const byName = await keys.findMember(community, 'Stilgar');
    const byId = await keys.findMember(community, community.userId.toUpperCase());
    expect(byName).toEqual(byId);
    expect(byName).toMatchObject({ ok: true, member: { userId: community.userId } });
    const nobody = await keys.findMember(community, 'Jamis');
    expect(nobody).toMatchObject({ ok: false, code: 'user_not_found' });
    expect(!nobody.ok && nobody.detail).toContain(`Stilgar (${community.userId})`);
  });

  it('refuses to choose between two of the same name', async () => {
    const community = await insertCommunity(pool, { slug: 'twins', userName: 'Leto' });
    await insertMember(pool, community.communityId, 'Leto');
    expect(await keys.findMember(community, 'Leto')).toMatchObject({ code: 'user_ambiguous' });
  });
});

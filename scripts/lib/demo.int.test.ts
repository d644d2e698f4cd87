import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createPool, withTransaction } from '@arrakis/postgres';
import { createTestDatabase, type TestDatabase } from '@arrakis/testkit';
import type { Pool } from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ensureDemoKey } from './demo-key.ts';
import { DEMO_CREDITS_MICRO, seedDemo, type SeededDemo } from './demo.ts';

let database: TestDatabase;
let pool: Pool;
let folder: string;
const pepper = `1:${randomBytes(32).toString('base64')}`;

beforeAll(async () => {
  database = await createTestDatabase();
  pool = createPool({
    url: database.migratorUrl,
    max: 4,
    applicationName: 'test',
    onError: () => undefined,
  });
  folder = mkdtempSync(join(tmpdir(), 'demo-test-'));
});

afterAll(async () => {
  rmSync(folder, { recursive: true, force: true });
  await pool.end();
  await database.drop();
});

function seed(): Promise<SeededDemo> {
  return withTransaction(pool, seedDemo);
}

async function count(table: 'credit_lots' | 'nfts' | 'community_members'): Promise<number> {
  const queries = {
    credit_lots: 'SELECT count(*)::int AS n FROM freeside.credit_lots',
    nfts: 'SELECT count(*)::int AS n FROM freeside.nfts',
    community_members: 'SELECT count(*)::int AS n FROM freeside.community_members',
  };
  const { rows } = await pool.query<{ n: number }>(queries[table]);
  return rows[0]?.n ?? -1;
}

async function activePrefixes(): Promise<string[]> {
  const { rows } = await pool.query<{ key_prefix: string }>(
    'SELECT key_prefix FROM freeside.api_keys WHERE is_active',
  );
  return rows.map((row) => row.key_prefix);
}

describe('the demo community', () => {
  it('is seeded once, also by several seeds at the same time', async () => {
    const seeds = await Promise.all([seed(), seed(), seed()]);
    expect(seeds.filter(({ minted }) => minted)).toHaveLength(1);
    expect(new Set(seeds.map(({ memberId }) => memberId)).size).toBe(1);
    expect(await count('credit_lots')).toBe(1);
    expect(await count('nfts')).toBe(2);
    expect(await count('community_members')).toBe(1);
  });

  it('never gets its credits a second time, not even when they are spent', async () => {
    const { communityId, minted } = await seed();
    expect(minted).toBe(false);
    const { rows } = await pool.query<{ balance_micro: bigint }>(
      `SELECT balance_micro FROM freeside.accounts WHERE community_id = $1 AND kind = 'available'`,
      [communityId],
    );
    expect(rows[0]?.balance_micro).toBe(DEMO_CREDITS_MICRO);
  });

  it('keeps what somebody changed about an agent', async () => {
    await pool.query(
      `UPDATE freeside.personality_configs SET emphasis = '{mine}', version = 2
        WHERE nft_id LIKE '%:1'`,
    );
    await seed();
    const { rows } = await pool.query<{ emphasis: string[] }>(
      `SELECT emphasis FROM freeside.personality_configs WHERE nft_id LIKE '%:1'`,
    );
    expect(rows[0]?.emphasis).toEqual(['mine']);
  });
});

describe('the demo key', () => {
  it('stays the same, in a file for its owner only', async () => {
    const demo = await seed();
    const file = join(folder, 'same-key');
    const first = await ensureDemoKey(pool, demo, { file, pepper });
    const second = await ensureDemoKey(pool, demo, { file, pepper });
    expect(first.created).toBe(true);
    expect(second).toEqual({ key: first.key, created: false });
    expect(statSync(file).mode & 0o777).toBe(0o600);
  });

  it('is revoked and replaced when its file is lost', async () => {
    const demo = await seed();
    const file = join(folder, 'lost-key');
    const before = await ensureDemoKey(pool, demo, { file, pepper });
    rmSync(file);
    const after = await ensureDemoKey(pool, demo, { file, pepper });
    expect(after.key).not.toBe(before.key);
    expect(await activePrefixes()).toEqual([after.key.slice(0, after.key.lastIndexOf('_'))]);
  });
});

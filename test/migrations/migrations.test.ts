import { randomUUID } from 'node:crypto';
import { readFileSync, readdirSync } from 'node:fs';
import { resolve } from 'node:path';
import pg from 'pg';
import { createTestDatabase, type TestDatabase } from '@arrakis/testkit';
import { migrate } from '@arrakis/postgres';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const MIGRATIONS_DIR = resolve(import.meta.dirname, '../../migrations');
const FILES = readdirSync(MIGRATIONS_DIR).filter((name) => name.endsWith('.sql'));
const APPEND_ONLY = [
  'ledger_entries',
  'credit_lot_allocations',
  'credit_lot_adjustments',
  'spend_events',
  'spend_corrections',
  'price_versions',
  'pool_prices',
  'credit_pack_versions',
  'credit_packs',
  'payment_deliveries',
  'payment_events',
];
const KEPT = [
  'credit_lots',
  'budget_reservations',
  'crypto_payments',
  'payment_reviews',
  'community_debts',
  'audit_records',
  'audit_checkpoints',
  'audit_signatures',
  'audit_state',
];

async function connect(url: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  return client;
}

/** One community with a lot, a charged and an open reservation, and a payment that came back. */
async function fill(url: string): Promise<void> {
  const owner = await connect(url);
  const community = randomUUID();
  const member = randomUUID();
  const key = randomUUID();
  await owner.query(
    `INSERT INTO freeside.communities (id, slug, name, tier) VALUES ($1, 'full', 'Full', 'pro')`,
    [community],
  );
  await owner.query(
    `INSERT INTO freeside.community_members (id, community_id, display_name) VALUES ($1, $2, 'm')`,
    [member, community],
  );
  await owner.query(
    `INSERT INTO freeside.api_keys (id, user_id, community_id, key_prefix, key_hash, key_salt,
       pepper_version, name, rate_limit_rpm, rate_limit_tpd)
     VALUES ($1, $2, $3, 'lf_live_aaaaaaaaaaaa', $4, $5, 1, 'k', 100, 1000000)`,
    [key, member, community, Buffer.alloc(32), Buffer.alloc(16)],
  );
  await owner.query(`SELECT freeside.mint_lot($1, 5000, 'grant', 'fill', NULL)`, [community]);
  const charged = randomUUID();
  const batch = `SELECT outcome FROM freeside.apply_ledger_batch($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)`;
  await owner.query(batch, [
    ...[[], [], [], [], [], [], [], [], []],
    [charged, randomUUID()],
    [community, community],
    [key, key],
    ['n', 'n'],
    ['cheap', 'cheap'],
    [10, 10],
    [100, 100],
  ]);
  await owner.query(batch, [
    [charged],
    ['settle'],
    ['done_event'],
    [10],
    [50],
    ['cheap'],
    ['m'],
    ['p'],
    [1],
    ...[[], [], [], [], [], [], []],
  ]);
  await buyAndRefund(owner, community, member);
  const { rows } = await owner.query(
    'SELECT 1 FROM freeside.conservation_full WHERE drift_micro <> 0',
  );
  expect(rows).toEqual([]);
  await owner.end();
}

async function buyAndRefund(owner: pg.Client, community: string, member: string): Promise<void> {
  const payment = randomUUID();
  await owner.query(`SELECT freeside.create_payment($1, $2, $3, 'key', 'standard')`, [
    payment,
    community,
    member,
  ]);
  const statuses = ['finished', 'refunded'];
  for (const [index, status] of statuses.entries()) {
    await owner.query(
      `SELECT freeside.apply_payment_decision($1, $2, 'webhook', '{}', $3, '1', $4, 'trx', NULL, 'advanced', $4, false, 'overpaid')`,
      [payment, index + 1, Buffer.alloc(32), status],
    );
  }
  const { rows } = await owner.query(
    `SELECT status FROM freeside.crypto_payments WHERE credits_refunded_at IS NOT NULL`,
  );
  expect(rows).toEqual([{ status: 'refunded' }]);
}

describe('the migrations', () => {
  let database: TestDatabase;
  beforeAll(async () => {
    database = await createTestDatabase();
  });
  afterAll(() => database.drop());

  it('say why, which lock, and bound the wait for it, in both directions', () => {
    for (const file of FILES) {
      const text = readFileSync(resolve(MIGRATIONS_DIR, file), 'utf8');
      expect(text, file).toMatch(/^-- Why: /);
      expect(text, file).toMatch(/Lock|lock/);
      expect(text.match(/SET LOCAL lock_timeout/g), file).toHaveLength(2);
    }
  });

  it('run down and up again with data in every table, and leave nothing behind', async () => {
    await fill(database.migratorUrl);
    const options = { url: database.migratorUrl, migrationsDir: MIGRATIONS_DIR };
    const down = await migrate({ ...options, direction: 'down', count: FILES.length });
    expect(down).toHaveLength(FILES.length);
    const admin = await connect(database.adminUrl);
    const { rows } = await admin.query(`SELECT 1 FROM pg_namespace WHERE nspname = 'freeside'`);
    expect(rows).toEqual([]);
    await admin.end();
    const up = await migrate({ ...options, direction: 'up' });
    expect(up).toHaveLength(FILES.length);
    await fill(database.migratorUrl);
  });

  it('are a no-op when there is nothing to do', async () => {
    const options = { url: database.migratorUrl, migrationsDir: MIGRATIONS_DIR };
    expect(await migrate({ ...options, direction: 'up' })).toEqual([]);
  });
});

describe('the roles', () => {
  let database: TestDatabase;
  let app: pg.Client;
  let finn: pg.Client;
  let owner: pg.Client;
  beforeAll(async () => {
    database = await createTestDatabase();
    await fill(database.migratorUrl);
    app = await connect(database.appUrl);
    finn = await connect(database.finnUrl);
    owner = await connect(database.migratorUrl);
  });
  afterAll(async () => {
    await Promise.all([app.end(), finn.end(), owner.end()]);
    await database.drop();
  });

  it('let finn read what a personality needs and nothing else', async () => {
    const { rows } = await finn.query<{ name: string }>(
      `SELECT c.relname AS name FROM pg_class c WHERE c.relnamespace = 'freeside'::regnamespace
         AND c.relkind IN ('r', 'v') AND has_table_privilege(c.oid, 'SELECT') ORDER BY 1`,
    );
    expect(rows.map((row) => row.name)).toEqual([
      'communities',
      'nft_metadata',
      'nfts',
      'personality_configs',
    ]);
  });

  it("refuse finn's writes, with and without its read-only default", async () => {
    const write = `UPDATE freeside.nfts SET slug = slug`;
    await expect(finn.query(write)).rejects.toMatchObject({ code: '25006' });
    await finn.query('SET default_transaction_read_only = off');
    for (const statement of [
      write,
      `INSERT INTO freeside.communities (slug, name, tier) VALUES ('x', 'x', 'free')`,
      'DELETE FROM freeside.nfts',
      'TRUNCATE freeside.nfts',
      'CREATE TABLE freeside.mine (a int)',
      'CREATE TABLE public.mine (a int)',
      `SELECT freeside.mint_lot(gen_random_uuid(), 1, 'grant', 'x', NULL)`,
      'SELECT * FROM freeside.api_keys',
    ]) {
      await expect(finn.query(statement), statement).rejects.toMatchObject({ code: '42501' });
    }
  });

  it('let freeside write the books through their functions only', async () => {
    for (const statement of [
      'UPDATE freeside.accounts SET balance_micro = balance_micro + 1',
      'INSERT INTO freeside.credit_lot_allocations SELECT * FROM freeside.credit_lot_allocations',
      'UPDATE freeside.budget_reservations SET charge_micro = 0',
      'UPDATE freeside.credit_lots SET remaining_micro = 0',
      'UPDATE freeside.api_key_usage SET day_tokens = 0',
      'DELETE FROM freeside.ledger_entries',
      `SELECT freeside.post_entry(gen_random_uuid(), 'minted', 'available', 1, 'mint', NULL, NULL)`,
      `SELECT freeside.hold_one(gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), 'n', 'cheap', 1, 1)`,
      `SELECT freeside.settle_one(gen_random_uuid(), 'release', NULL, 0, 0, NULL, NULL, NULL, NULL)`,
      `UPDATE freeside.crypto_payments SET status = 'finished'`,
      `UPDATE freeside.community_debts SET paid_micro = amount_micro`,
      `INSERT INTO freeside.payment_transitions VALUES ('expired', 'finished')`,
      `INSERT INTO freeside.credit_packs VALUES (1, 'gift', 'Gift', 5000000, 50000000, 0)`,
      `UPDATE freeside.payment_reviews SET resolution = 'mint'`,
      `SELECT freeside.mint_payment(p, 'x', 'webhook', NULL, NULL, 1) FROM freeside.crypto_payments p`,
      `SELECT freeside.refund_payment(p, 'webhook', NULL, NULL, 1) FROM freeside.crypto_payments p`,
      `SELECT freeside.advance_payment(gen_random_uuid(), 'finished', '1', 'webhook', NULL, NULL, 1)`,
      'CREATE TABLE freeside.mine (a int)',
    ]) {
      await expect(app.query(statement), statement).rejects.toMatchObject({ code: '42501' });
    }
  });

  it.each(APPEND_ONLY)('refuse to change %s, even for its owner', async (table) => {
    for (const statement of [
      `UPDATE freeside.${table} SET created_at = now()`,
      `DELETE FROM freeside.${table}`,
      `TRUNCATE freeside.${table} CASCADE`,
    ]) {
      const changed =
        table === 'pool_prices' || table === 'credit_packs'
          ? statement.replace(
              'created_at = now()',
              table === 'pool_prices' ? 'pool = pool' : 'name = name',
            )
          : statement;
      await expect(owner.query(changed), changed).rejects.toMatchObject({ code: '42501' });
    }
  });

  it.each(KEPT)('refuse to remove from %s, even for its owner', async (table) => {
    for (const verb of ['DELETE FROM', 'TRUNCATE']) {
      const statement = `${verb} freeside.${table}${verb === 'TRUNCATE' ? ' CASCADE' : ''}`;
      await expect(owner.query(statement), statement).rejects.toMatchObject({ code: '42501' });
    }
  });

  it('keep a balance from going below zero whoever writes it', async () => {
    const statement = `UPDATE freeside.accounts SET balance_micro = -1 WHERE kind = 'available'`;
    await expect(owner.query(statement)).rejects.toMatchObject({
      code: '23514',
      constraint: 'accounts_balance_sign',
    });
  });
});

import { Client, escapeIdentifier } from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { mint, openCommunity, type Account } from '../reservations/test-support/ledger-fixture.ts';
import { ExportCursorError, exportTrail } from './export.ts';
import {
  createAuditFixture,
  holdRequest,
  settlementOf,
  type AuditFixture,
} from './test-support/audit-fixture.ts';

const PATIENCE = { timeout: 15_000 };

let fixture: AuditFixture;
let account: Account;
beforeAll(async () => {
  fixture = await createAuditFixture();
  account = await openCommunity(fixture.owner);
  await mint(fixture.app, account.communityId, 1_000_000n);
  await fixture.newAudit().seal();
  await fixture.pool.query('SELECT freeside.sign_audit_checkpoint(2, $1, $2)', [
    'k',
    Buffer.alloc(64),
  ]);
});
afterAll(async () => {
  await fixture.close();
});

/** As a database has it that was not made by our bootstrap. */
async function grantTemporaryObjects(): Promise<void> {
  const admin = new Client({ connectionString: fixture.database.adminUrl });
  await admin.connect();
  try {
    const database = escapeIdentifier(fixture.database.name);
    await admin.query(['GRANT TEMPORARY ON DATABASE', database, 'TO PUBLIC'].join(' '));
  } finally {
    await admin.end();
  }
}

const TABLES = ['audit_records', 'audit_checkpoints', 'audit_signatures'] as const;

describe('what is sealed', () => {
  it.each(TABLES)('%s: not even the owner changes or removes it', async (table) => {
    for (const statement of [
      `UPDATE freeside.${table} SET sequence = sequence + 1`,
      `DELETE FROM freeside.${table}`,
      `TRUNCATE freeside.${table} CASCADE`,
    ]) {
      await expect(fixture.owner.query(statement)).rejects.toMatchObject({ code: '42501' });
    }
  });

  it.each([...TABLES, 'audit_state'])('%s: services only read it', async (table) => {
    await fixture.app.query({ text: ['SELECT * FROM freeside', table].join('.') });
    for (const statement of [
      `INSERT INTO freeside.${table} DEFAULT VALUES`,
      `DELETE FROM freeside.${table}`,
    ]) {
      await expect(fixture.app.query(statement)).rejects.toMatchObject({ code: '42501' });
    }
  });

  it('is sealed from one snapshot or not at all', async () => {
    const loose = fixture.app.query('SELECT * FROM freeside.seal_audit_batch(10)');
    await expect(loose).rejects.toThrow(/REPEATABLE READ/);
  });

  it('is not sealed without a limit: balances would be owed for ever', async () => {
    const other = await openCommunity(fixture.owner);
    await mint(fixture.app, other.communityId, 7n);
    const client = await fixture.pool.connect();
    try {
      await client.query('BEGIN ISOLATION LEVEL REPEATABLE READ');
      const { rows } = await client.query('SELECT * FROM freeside.seal_audit_batch(NULL)');
      await client.query('COMMIT');
      expect(rows).toEqual([]);
    } finally {
      client.release(true);
    }
    await mint(fixture.app, account.communityId, 1n);
    expect(await fixture.newAudit().seal()).toBe(2);
    expect(await fixture.verify()).toMatchObject({
      code: 0,
      said: expect.not.stringContaining('NOT COMPARED') as string,
    });
  });

  it.each([
    [null, 'k', Buffer.alloc(64)],
    [4n, null, Buffer.alloc(64)],
    [4n, 'k', null],
  ])('is not signed by half a signature: %s, %s', async (...signature) => {
    const text = 'SELECT freeside.sign_audit_checkpoint($1, $2, $3)';
    const signing = fixture.app.query(text, signature);
    await expect(signing).rejects.toMatchObject({ code: '23502' });
  });

  it('draws its ids in order: no session keeps some for later', async () => {
    const { rows } = await fixture.owner.query<{ caches: bigint[] }>(
      `SELECT array_agg(s.seqcache) AS caches FROM pg_sequence s
       WHERE s.seqrelid IN (pg_get_serial_sequence('freeside.ledger_entries', 'id')::regclass,
                            pg_get_serial_sequence('freeside.credit_lot_adjustments', 'id')::regclass)`,
    );
    expect(rows[0]?.caches).toEqual([1n, 1n]);
  });
});

describe('a function that runs with the rights of its owner', () => {
  it('looks for names in temporary objects last', async () => {
    const { rows } = await fixture.owner.query<{ name: string; path: string | null }>(
      `SELECT p.oid::regprocedure::text AS name,
              (SELECT c FROM unnest(p.proconfig) AS c WHERE c LIKE 'search_path=%') AS path
       FROM pg_proc p WHERE p.pronamespace = 'freeside'::regnamespace AND p.prosecdef`,
    );
    expect(rows.length).toBeGreaterThan(10);
    const wrong = rows.filter(({ path }) => path !== 'search_path=pg_catalog, pg_temp');
    expect(wrong).toEqual([]);
  });

  it('runs nobody else’s code where everybody may make temporary objects', async () => {
    await grantTemporaryObjects();
    const client = new Client({ connectionString: fixture.database.appUrl });
    await client.connect();
    try {
      await client.query(
        `CREATE FUNCTION pg_temp.run_as_owner(given pg_catalog.text) RETURNS boolean LANGUAGE plpgsql AS
         $$ BEGIN RAISE EXCEPTION 'runs as %', current_user; END $$`,
      );
      await client.query(
        'CREATE DOMAIN pg_temp.text AS pg_catalog.text CHECK (pg_temp.run_as_owner(VALUE))',
      );
      await client.query('BEGIN ISOLATION LEVEL REPEATABLE READ');
      await client.query('SELECT * FROM freeside.seal_audit_batch(10)');
    } finally {
      await client.end();
    }
  });
});

describe('the sealer and the hot path', () => {
  it('wait for each other never', async () => {
    const service = fixture.newService();
    const first = holdRequest(account);
    await service.reserve(first);
    const [sealing, holding] = [await fixture.pool.connect(), await fixture.pool.connect()];
    try {
      // A hold under way: its community is locked, its entries are written and not committed.
      await holding.query('BEGIN');
      await holding.query(`SELECT freeside.mint_lot($1, 1, 'grant', 'open-mint', NULL)`, [
        account.communityId,
      ]);
      await sealing.query('BEGIN ISOLATION LEVEL REPEATABLE READ');
      await sealing.query(`SET LOCAL lock_timeout = '2s'`);
      const { rows } = await sealing.query<{ records: number }>(
        'SELECT records FROM freeside.seal_audit_batch(100)',
      );
      expect(rows[0]?.records).toBe(1);
      await holding.query('ROLLBACK');

      // The batch is open still: holds and settlements go through meanwhile.
      await service.settle(settlementOf(first.reservationId));
      const hold = await service.reserve(holdRequest(account));
      expect(hold.accepted).toBe(true);

      const locks = await sealing.query<{ relation: string; mode: string }>(
        `SELECT DISTINCT c.relname AS relation, l.mode FROM pg_locks l JOIN pg_class c ON c.oid = l.relation
         JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE l.pid = pg_backend_pid() AND n.nspname = 'freeside' AND l.mode <> 'AccessShareLock'`,
      );
      const relations = locks.rows.map(({ relation }) => relation);
      expect(relations.filter((relation) => !relation.startsWith('audit_'))).toEqual([]);
      await sealing.query('COMMIT');
    } finally {
      holding.release(true);
      sealing.release(true);
    }
  });

  it('share indexes: a batch reads what is new, not what there is', async () => {
    await fixture.owner.query(
      `INSERT INTO freeside.ledger_entries (community_id, from_account_id, to_account_id, amount_micro, kind)
       SELECT $1, min(id), max(id), 1, 'mint' FROM freeside.accounts, generate_series(1, 12000) AS n
       WHERE community_id = $1 GROUP BY n`,
      [account.communityId],
    );
    const audit = fixture.newAudit();
    await expect
      .poll(async () => {
        await audit.seal();
        const { rows } = await fixture.owner.query<{ behind: bigint }>(
          'SELECT (SELECT max(id) FROM freeside.ledger_entries) - entries_low AS behind FROM freeside.audit_state',
        );
        return rows[0]?.behind;
      }, PATIENCE)
      .toBe(0n);
    await mint(fixture.app, account.communityId, 1n);
    // A connection of its own: the counters include what it did before and has not reported yet.
    const client = new Client({ connectionString: fixture.database.appUrl });
    await client.connect();
    try {
      await client.query('BEGIN ISOLATION LEVEL REPEATABLE READ');
      await client.query('SELECT * FROM freeside.seal_audit_batch(5000)');
      await client.query('SELECT freeside.audit_oldest_unsealed()');
      const { rows } = await client.query<{ relname: string; seq: string; fetched: string }>(
        `SELECT relname, seq_scan AS seq, COALESCE(idx_tup_fetch, 0) AS fetched FROM pg_stat_xact_user_tables
         WHERE relname IN ('ledger_entries', 'credit_lot_adjustments', 'audit_records')`,
      );
      expect(rows.map((row) => row.relname).sort()).toContain('ledger_entries');
      for (const row of rows) {
        expect(Number(row.seq), row.relname).toBe(0);
        expect(Number(row.fetched), row.relname).toBeLessThan(50);
      }
      await client.query('COMMIT');
    } finally {
      await client.end();
    }
  });
});

describe('an export', () => {
  it('goes on from a checkpoint, and only from one', async () => {
    const whole = (await fixture.exportText()).trimEnd().split('\n');
    const rest = (await fixture.exportText(2n)).trimEnd().split('\n');
    expect(rest.slice(1)).toEqual(whole.slice(3));
    const at = { after: 1n, exportedAt: new Date() };
    await expect(exportTrail(fixture.app, at).next()).rejects.toThrow(ExportCursorError);
  });

  it('names nobody: communities, reservations and lots by their ids alone', async () => {
    const text = await fixture.exportText();
    expect(text).not.toMatch(/0x[0-9a-f]{40}/i);
    const { rows } = await fixture.owner.query<{ name: string; slug: string }>(
      'SELECT name, slug FROM freeside.communities',
    );
    for (const { name, slug } of rows) {
      expect(text).not.toContain(name);
      expect(text).not.toContain(slug);
    }
  });

  it('of a database without operations is an empty trail', async () => {
    const own = await createAuditFixture();
    try {
      expect(await own.verify()).toMatchObject({ code: 0 });
    } finally {
      await own.close();
    }
  });
});

import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { createPool } from '@arrakis/postgres';
import type { Pool, PoolClient } from 'pg';
import {
  balances,
  mint,
  openCommunity,
  type Account,
} from '../reservations/test-support/ledger-fixture.ts';
import type { AuditService } from './service.ts';
import {
  createAuditFixture,
  holdRequest,
  settlementOf,
  type AuditFixture,
} from './test-support/audit-fixture.ts';

const PATIENCE = { timeout: 15_000 };

let fixture: AuditFixture;
beforeAll(async () => {
  fixture = await createAuditFixture();
});
afterAll(async () => {
  await fixture.close();
});

async function funded(): Promise<Account> {
  const account = await openCommunity(fixture.owner);
  await mint(fixture.app, account.communityId, 1_000_000n);
  return account;
}

/** Everything that the books hold, and what of it has a record. */
async function coverage(): Promise<{ missing: bigint; records: bigint; sources: bigint }> {
  const { rows } = await fixture.owner.query<{
    missing: bigint;
    records: bigint;
    sources: bigint;
  }>(
    `SELECT count(*) FILTER (WHERE r.sequence IS NULL) AS missing, count(*) AS sources,
            (SELECT count(*) FROM freeside.audit_records) AS records
     FROM (SELECT 'entry' AS source, id FROM freeside.ledger_entries
           UNION ALL SELECT 'adjustment', id FROM freeside.credit_lot_adjustments) s
     LEFT JOIN freeside.audit_records r ON r.source = s.source AND r.source_id = s.id`,
  );
  return rows[0]!;
}

async function expectComplete(): Promise<void> {
  const { missing, records, sources } = await coverage();
  expect({ missing, records }).toEqual({ missing: 0n, records: sources });
  expect(await fixture.verify()).toMatchObject({ code: 0 });
}

async function marks(): Promise<{ low: bigint; noted: bigint }> {
  const { rows } = await fixture.owner.query<{ low: bigint; noted: bigint }>(
    'SELECT entries_low AS low, entries_noted AS noted FROM freeside.audit_state',
  );
  return rows[0]!;
}

/** It waits for every transaction of the server, those of other tests too. */
async function expectMarkRisen(audit: AuditService): Promise<void> {
  const { rows } = await fixture.owner.query<{ top: bigint }>(
    'SELECT max(id) AS top FROM freeside.ledger_entries',
  );
  await expect
    .poll(async () => {
      await audit.seal();
      return (await marks()).low;
    }, PATIENCE)
    .toBe(rows[0]?.top);
}

/** Transactions held open; a test that fails must not leave one behind. */
const open = new Set<PoolClient>();
afterEach(() => {
  for (const client of open) client.release(true);
  open.clear();
});

async function begin(isolation = 'READ COMMITTED'): Promise<PoolClient> {
  const client = await fixture.pool.connect();
  open.add(client);
  await client.query(['BEGIN ISOLATION LEVEL', isolation].join(' '));
  return client;
}

async function end(client: PoolClient, how: 'COMMIT' | 'ROLLBACK' = 'COMMIT'): Promise<void> {
  await client.query(how);
  open.delete(client);
  client.release();
}

const migratorUrl = (): string => fixture.database.migratorUrl;

function newPool(url: string, applicationName: string): Pool {
  return createPool({ url, max: 1, applicationName, onError: () => undefined });
}

/** Whether its statement is longer under way than it may be by its own settings. */
async function hasWaited(applicationName: string): Promise<boolean> {
  const { rows } = await fixture.app.query<{ is: boolean }>(
    `SELECT EXISTS (SELECT FROM pg_stat_activity WHERE application_name = $1 AND state = 'active'
                    AND clock_timestamp() - query_start > interval '1.5 s') AS is`,
    [applicationName],
  );
  return rows[0]?.is === true;
}

const MINT = `SELECT freeside.mint_lot($1, 10, 'grant', gen_random_uuid()::text, NULL)`;

describe('sealing', () => {
  it('does nothing when nothing waits', async () => {
    const audit = fixture.newAudit();
    await audit.seal();
    const before = await coverage();
    expect(await audit.seal()).toBe(0);
    expect(await coverage()).toEqual(before);
  });

  it('takes the operation that commits after a later one', async () => {
    const [early, late] = [await funded(), await funded()];
    const audit = fixture.newAudit();
    await audit.seal();
    const slow = await begin();
    await slow.query(MINT, [early.communityId]);
    await fixture.app.query(MINT, [late.communityId]);
    expect(await audit.seal()).toBe(1);
    expect(await audit.seal()).toBe(0);
    await end(slow);
    expect(await audit.seal()).toBe(1);
    await expectComplete();
  });

  it('takes it too when it had the higher transaction id and the lower entry id', async () => {
    // The snapshot's own upper bound is one above the last that ended: below what is still running.
    const [first, second] = [await funded(), await funded()];
    const audit = fixture.newAudit();
    await audit.seal();
    const [older, younger] = [await begin(), await begin()];
    // As the functions do by the community's lock: an id of the transaction before one of an entry.
    await older.query('SELECT pg_current_xact_id()');
    await younger.query('SELECT pg_current_xact_id()');
    await younger.query(MINT, [second.communityId]);
    const { rows } = await younger.query<{ id: bigint }>(
      'SELECT max(id) AS id FROM freeside.ledger_entries',
    );
    const unseen = rows[0]!.id;
    await older.query(MINT, [first.communityId]);
    await end(older);
    expect(await audit.seal()).toBe(1);
    expect((await marks()).low).toBeLessThan(unseen);
    // Others come and go; none of them may lift the mark over the one that is open.
    for (let round = 0; round < 3; round += 1) {
      await mint(fixture.app, first.communityId, 1n);
      expect(await audit.seal()).toBe(1);
      expect((await marks()).low).toBeLessThan(unseen);
    }
    await end(younger);
    expect(await audit.seal()).toBe(1);
    await expectComplete();
  });

  it('leaves gaps of transactions that rolled back behind', async () => {
    const account = await funded();
    const audit = fixture.newAudit();
    const failed = await begin();
    await failed.query(MINT, [account.communityId]);
    await end(failed, 'ROLLBACK');
    await mint(fixture.app, account.communityId, 1n);
    await audit.seal();
    await expectMarkRisen(audit);
    await expectComplete();
  });

  it('keeps up with holds and settlements over two replicas, in batches that are cut short', async () => {
    const accounts = [await funded(), await funded(), await funded()];
    const replicas = [fixture.newService(), fixture.newService()];
    const sealers = [
      fixture.newAudit({ batchRecords: 7 }),
      fixture.newAudit({ batchRecords: 5 }),
      fixture.newAudit(),
    ];
    let isOver = false;
    const sealing = sealers.map(async (sealer) => {
      while (!isOver) await sealer.seal();
    });
    await Promise.all(
      Array.from({ length: 12 }, async (_, lane) => {
        const service = replicas[lane % 2]!;
        for (let round = 0; round < 25; round += 1) {
          const hold = holdRequest(accounts[(lane + round) % 3]!);
          const decision = await service.reserve(hold);
          expect(decision.accepted).toBe(true);
          await service.settle(settlementOf(hold.reservationId));
        }
      }),
    );
    isOver = true;
    await Promise.all(sealing);
    while ((await fixture.newAudit().seal()) > 0);
    await expectComplete();
    const { said } = await fixture.verify(['--json']);
    expect(JSON.parse(said)).toMatchObject({ summary: { unbalanced: 0, openRecords: 0 } });
  });

  it('goes on where a sealer was killed in the middle of a batch', async () => {
    const account = await funded();
    const dying = await begin('REPEATABLE READ');
    await dying.query('SELECT * FROM freeside.seal_audit_batch(3)');
    // While it is at it, nobody else is.
    expect(await fixture.newAudit().seal()).toBe(0);
    const pid = await dying.query<{ pid: number }>('SELECT pg_backend_pid() AS pid');
    open.delete(dying);
    dying.release(true);
    await fixture.owner.query('SELECT pg_terminate_backend($1)', [pid.rows[0]?.pid]).catch(() => 0);
    await mint(fixture.app, account.communityId, 3n);
    await expect
      .poll(() => fixture.newAudit({ batchRecords: 3 }).seal(), PATIENCE)
      .toBeGreaterThan(0);
    await expectComplete();
  });

  it('refuses a second sealer whose snapshot is from before the first one was done', async () => {
    const account = await funded();
    const stale = await begin('REPEATABLE READ');
    await stale.query('SELECT 1 FROM freeside.audit_state');
    await mint(fixture.app, account.communityId, 1n);
    await fixture.newAudit().seal();
    const again = stale.query('SELECT * FROM freeside.seal_audit_batch(100)');
    await expect(again).rejects.toMatchObject({ code: '40001' });
    await end(stale, 'ROLLBACK');
    await expectComplete();
  });

  it('may take longer than other statements of its role', async () => {
    const account = await funded();
    await fixture.newAudit().seal();
    await mint(fixture.app, account.communityId, 1n);
    const url = new URL(fixture.database.appUrl);
    url.searchParams.set('options', '-c statement_timeout=1000');
    const [brief, holder] = [
      newPool(url.href, 'test-brief'),
      newPool(migratorUrl(), 'test-holder'),
    ];
    const holding = await holder.connect();
    try {
      await holding.query('BEGIN');
      await holding.query('SELECT 1 FROM freeside.audit_state FOR UPDATE');
      const sealed = fixture.newAudit({ db: brief }).seal();
      await Promise.race([sealed, expect.poll(() => hasWaited('test-brief'), PATIENCE).toBe(true)]);
      await holding.query('ROLLBACK');
      expect(await sealed).toBe(1);
    } finally {
      holding.release(true);
      await Promise.all([brief.end(), holder.end()]);
    }
    await expectComplete();
  });

  it('does not rely on transaction ids of another server', async () => {
    const account = await funded();
    const audit = fixture.newAudit();
    await audit.seal();
    await fixture.owner.query(
      `UPDATE freeside.audit_state SET noted_xid = (pg_current_xact_id()::text::bigint + 1000000)::text::xid8, entries_low = 0`,
    );
    await mint(fixture.app, account.communityId, 1n);
    expect(await audit.seal()).toBe(1);
    await expectMarkRisen(audit);
    await expectComplete();
  });

  it('states in its checkpoints what the books say', async () => {
    const account = await funded();
    const service = fixture.newService();
    const hold = holdRequest(account);
    await service.reserve(hold);
    await fixture.newAudit().seal();
    const text = await fixture.exportText();
    const last = JSON.parse(text.trimEnd().split('\n').at(-1)!) as {
      balances: { community: string; accounts: Record<string, string> }[];
    };
    const stated = last.balances.find((each) => each.community === account.communityId);
    const books = await balances(fixture.app, account.communityId);
    expect(stated?.accounts).toEqual(
      Object.fromEntries(Object.entries(books).map(([kind, micro]) => [kind, micro.toString()])),
    );
  });
});

describe('a sealer', () => {
  /** Each look at the clock finds it 150 ms later; the time of day is that far ahead. */
  const newPaced = (aheadMs: number): AuditService => {
    let monotonicMs = 0;
    const clock = {
      monotonicMs: () => (monotonicMs += 150),
      nowMs: () => Date.now() + aheadMs,
    };
    return fixture.newAudit({ batchRecords: 1, clock });
  };

  it('ends a run after a fifth of a second while it is not far behind', async () => {
    const account = await funded();
    await fixture.newAudit().seal();
    for (let n = 0; n < 6; n += 1) await mint(fixture.app, account.communityId, 1n);
    const audit = newPaced(0);
    expect([await audit.seal(), await audit.seal(), await audit.seal()]).toEqual([2, 2, 2]);
    await expectComplete();
  });

  it('goes on until nothing waits once it is half a minute behind', async () => {
    const account = await funded();
    await fixture.newAudit().seal();
    for (let n = 0; n < 6; n += 1) await mint(fixture.app, account.communityId, 1n);
    const audit = newPaced(60_000);
    expect([await audit.seal(), await audit.seal(), await audit.seal()]).toEqual([2, 4, 0]);
    await expectComplete();
  });

  it('checks as it seals: soon over, unless it is far behind', async () => {
    const account = await funded();
    const sealAll = fixture.newAudit({ batchRecords: 1 });
    const near = newPaced(0);
    const far = newPaced(60_000);
    await fixture.newAudit().seal();
    for (const audit of [near, far]) while ((await audit.check()) > 0);
    for (let n = 0; n < 12; n += 1) await mint(fixture.app, account.communityId, 1n);
    while ((await sealAll.seal()) > 0);
    expect([await near.check(), await near.check()]).toEqual([4, 4]);
    expect([await far.check(), await far.check()]).toEqual([4, 8]);
    await mint(fixture.app, account.communityId, 1n);
    await fixture.newAudit().seal();
    await expectComplete();
  });
});

describe('a checkpoint', () => {
  const stated = async (): Promise<number> => {
    const text = await fixture.exportText();
    const last = JSON.parse(text.trimEnd().split('\n').at(-1)!) as { balances: unknown[] };
    return last.balances.length;
  };

  it('states the communities of its batch, and of those cut short before it', async () => {
    const accounts = [await funded(), await funded(), await funded()];
    const audit = fixture.newAudit({ batchRecords: 1 });
    while ((await audit.seal()) > 0);
    for (const { communityId } of accounts) await mint(fixture.app, communityId, 1n);
    await audit.seal();
    expect(await stated()).toBe(0);
    await mint(fixture.app, accounts[0]!.communityId, 1n);
    await fixture.newAudit().seal();
    expect(await stated()).toBe(3);
    await mint(fixture.app, accounts[0]!.communityId, 1n);
    await fixture.newAudit().seal();
    expect(await stated()).toBe(1);
    await expectComplete();
  });

  it('states all communities after a long past', async () => {
    const account = await funded();
    await fixture.newAudit().seal();
    await fixture.owner.query('UPDATE freeside.audit_state SET balances_from = -200000');
    await mint(fixture.app, account.communityId, 1n);
    await fixture.newAudit().seal();
    const { rows } = await fixture.owner.query<{ all: bigint }>(
      'SELECT count(*) AS all FROM freeside.communities',
    );
    expect(await stated()).toBe(Number(rows[0]?.all));
    await expectComplete();
  });
});

describe('a gap in the trail', () => {
  it('of an entry that no sealer took shows offline', async () => {
    const own = await createAuditFixture();
    try {
      const account = await openCommunity(own.owner);
      await mint(own.app, account.communityId, 100n);
      await own.owner.query('UPDATE freeside.audit_state SET entries_low = 1, entries_noted = 1');
      await mint(own.app, account.communityId, 7n);
      await own.newAudit().seal();
      expect(await own.verify()).toEqual({
        code: 1,
        said: expect.stringMatching(
          /^broken at line 3 \(sequence 2, balance\).*is (107|-107), its records add up to (7|-7)$/,
        ) as string,
      });
    } finally {
      await own.close();
    }
  });
});

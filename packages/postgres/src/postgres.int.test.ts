import { createTestDatabase, startTcpRelay, waitFor, type TestDatabase } from '@arrakis/testkit';
import type { Pool } from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { withAdvisoryLock } from './advisory-lock.ts';
import { isUnavailable } from './errors.ts';
import { createPool } from './pool.ts';
import { withTransaction } from './transaction.ts';

let database: TestDatabase;
let pool: Pool;
let admin: Pool;
const reported: Error[] = [];

beforeAll(async () => {
  database = await createTestDatabase();
  pool = createPool({
    url: database.migratorUrl,
    max: 5,
    applicationName: 'under-test',
    onError: (error) => reported.push(error),
  });
  admin = createPool({
    url: database.adminUrl,
    max: 1,
    applicationName: 'admin',
    onError: () => undefined,
  });
  await pool.query('CREATE SCHEMA scratch');
  await pool.query('CREATE TABLE scratch.notes (id integer PRIMARY KEY)');
});
afterAll(async () => {
  await pool.end();
  await admin.end();
  await database.drop();
});

const notes = async (): Promise<number[]> => {
  const { rows } = await pool.query<{ id: number }>('SELECT id FROM scratch.notes ORDER BY id');
  return rows.map((row) => row.id);
};

/** Breaks the connections of the pool whose last statement was `statement`. */
const terminate = (statement: string): Promise<unknown> =>
  admin.query(
    `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
      WHERE application_name = 'under-test' AND datname = current_database() AND query LIKE $1`,
    [statement],
  );

describe('a pool', () => {
  it('reads bigint as bigint, date as text, timestamptz as Date, numeric as text', async () => {
    const { rows } = await pool.query(
      `SELECT 9223372036854775807::bigint AS big, '{1,NULL,-9223372036854775808}'::bigint[] AS bigs,
              DATE '2026-02-03' AS day, ARRAY[DATE '2026-02-03'] AS days, 7::integer AS small,
              TIMESTAMPTZ '2026-02-03T04:05:06Z' AS instant, 1.10::numeric AS exact,
              '{"a":1}'::jsonb AS json, count(*) AS count FROM (VALUES (1), (2)) AS v`,
    );
    expect(rows).toEqual([
      {
        big: 9223372036854775807n,
        bigs: [1n, null, -9223372036854775808n],
        day: '2026-02-03',
        days: ['2026-02-03'],
        small: 7,
        instant: new Date('2026-02-03T04:05:06Z'),
        exact: '1.10',
        json: { a: 1 },
        count: 2n,
      },
    ]);
  });

  it('takes bigint as a parameter', async () => {
    const { rows } = await pool.query('SELECT $1::bigint AS big', [2n ** 62n]);
    expect(rows).toEqual([{ big: 2n ** 62n }]);
  });

  it('reports a connection that breaks while idle, and serves on', async () => {
    const before = reported.length;
    await pool.query("SELECT 'idle victim'");
    await terminate("SELECT 'idle victim'%");
    await expect.poll(() => reported.length).toBe(before + 1);
    expect(isUnavailable(reported.at(-1))).toBe(true);
    expect((await pool.query('SELECT 1 AS one')).rows).toEqual([{ one: 1 }]);
  });
});

describe('a pool that repeats what was lost', () => {
  it.each([true, false])(
    'repeats=%s, when the connection breaks under a statement',
    async (repeats) => {
      const other = createPool({
        url: database.migratorUrl,
        max: 2,
        applicationName: 'under-test',
        repeatsLost: repeats,
        onError: () => undefined,
      });
      const lost = `SELECT 7 AS seven, pg_sleep(5) /* lost ${String(repeats)} */`;
      const answer = other.query<{ seven: number }>(lost).then(
        ({ rows }) => rows[0]?.seven,
        (error: unknown) => isUnavailable(error),
      );
      await expect
        .poll(() => terminate(`%/* lost ${String(repeats)} */`))
        .toMatchObject({ rowCount: 1 });
      expect(await answer).toBe(repeats ? 7 : true);
      await other.end();
    },
  );

  it('gives up on one whose every connection breaks, and repeats no refusal', async () => {
    const relay = await startTcpRelay({ targetPort: Number(new URL(database.migratorUrl).port) });
    const url = new URL(database.migratorUrl);
    url.port = String(relay.port);
    let connected = 0;
    const other = createPool({
      url: url.href,
      max: 1,
      applicationName: 'under-test',
      repeatsLost: true,
      onError: () => undefined,
    });
    other.on('connect', () => (connected += 1));
    await expect(other.query('SELECT 1/0')).rejects.toThrow('division by zero');
    expect(connected).toBe(1);
    let answer: unknown;
    const asked = other.query('SELECT pg_sleep(30)').catch((error: unknown) => {
      answer = error;
    });
    await waitFor(() => {
      relay.reset();
      return answer;
    });
    await asked;
    expect(isUnavailable(answer)).toBe(true);
    expect(connected).toBeLessThanOrEqual(4);
    await Promise.all([other.end(), relay.close()]);
  });
});

describe('a transaction', () => {
  it('is committed with its value', async () => {
    const value = await withTransaction(pool, async (tx) => {
      await tx.query('INSERT INTO scratch.notes VALUES (1)');
      return 'done';
    });
    expect(value).toBe('done');
    expect(await notes()).toContain(1);
  });

  it('is rolled back by whatever is thrown, and its connection is used again', async () => {
    const inFlight = pool.totalCount;
    for (let round = 0; round < 10; round += 1) {
      await expect(
        withTransaction(pool, async (tx) => {
          await tx.query('INSERT INTO scratch.notes VALUES (2)');
          throw new Error('no');
        }),
      ).rejects.toThrow('no');
    }
    expect(await notes()).not.toContain(2);
    expect(pool.totalCount).toBeLessThanOrEqual(Math.max(inFlight, 1));
    expect(pool.idleCount).toBe(pool.totalCount);
  });

  it('whose failure was swallowed inside does not pass for committed', async () => {
    await expect(
      withTransaction(pool, async (tx) => {
        await tx.query('INSERT INTO scratch.notes VALUES (3)');
        await tx.query('SELECT 1/0').catch(() => undefined);
      }),
    ).rejects.toThrow('rolled back');
    expect(await notes()).not.toContain(3);
  });

  it('fails, and nothing else does, when its connection breaks between statements', async () => {
    await expect(
      withTransaction(pool, async (tx) => {
        await tx.query('INSERT INTO scratch.notes VALUES (4) /* victim */');
        await terminate('%/* victim */');
        await tx.query('SELECT 1');
      }),
    ).rejects.toSatisfy(isUnavailable);
    expect(await notes()).not.toContain(4);
    expect(pool.idleCount).toBe(pool.totalCount);
  });
});

describe('an advisory lock', () => {
  it('lets one run and tells the others that they did not', async () => {
    let release = (): void => undefined;
    const gate = new Promise<void>((resolve) => (release = resolve));
    let entered = (): void => undefined;
    const inside = new Promise<void>((resolve) => (entered = resolve));
    const first = withAdvisoryLock(pool, 'job', async () => {
      entered();
      await gate;
      return 7;
    });
    await inside;
    expect(await withAdvisoryLock(pool, 'job', () => Promise.resolve(8))).toEqual({ ran: false });
    expect(await withAdvisoryLock(pool, 'other', () => Promise.resolve(9))).toEqual({
      ran: true,
      value: 9,
    });
    release();
    expect(await first).toEqual({ ran: true, value: 7 });
    expect(await withAdvisoryLock(pool, 'job', () => Promise.resolve(8))).toMatchObject({
      ran: true,
    });
  });

  it('is free again after a failure', async () => {
    const failing = withAdvisoryLock(pool, 'job', () => Promise.reject(new Error('no')));
    await expect(failing).rejects.toThrow('no');
    expect(await withAdvisoryLock(pool, 'job', () => Promise.resolve(1))).toMatchObject({
      ran: true,
    });
  });

  it('tells its holder when the connection that holds it breaks', async () => {
    const outcome = await withAdvisoryLock(pool, 'fragile', async (signal) => {
      expect(signal.aborted).toBe(false);
      await terminate('%pg_try_advisory_xact_lock%');
      await expect.poll(() => signal.aborted).toBe(true);
      // The lock is gone with its connection: somebody else may have it.
      return await withAdvisoryLock(pool, 'fragile', () => Promise.resolve('successor'));
    });
    expect(outcome).toEqual({ ran: true, value: { ran: true, value: 'successor' } });
    expect(pool.idleCount).toBe(pool.totalCount);
  });
});

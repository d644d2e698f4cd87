import {
  createTestDatabase,
  startTcpRelay,
  type TcpRelay,
  type TestDatabase,
} from '@arrakis/testkit';
import type { Pool } from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { isUnavailable } from './errors.ts';
import { createPool } from './pool.ts';
import { withTransaction } from './transaction.ts';

const ANSWER_TIMEOUT_MS = 3_000;

let database: TestDatabase;
let relay: TcpRelay;
let pool: Pool;
let connected = 0;
beforeAll(async () => {
  database = await createTestDatabase();
  const url = new URL(database.migratorUrl);
  relay = await startTcpRelay({ targetPort: Number(url.port) });
  url.port = String(relay.port);
  pool = createPool({
    url: url.href,
    max: 1,
    applicationName: 'under-test',
    answerTimeoutMs: ANSWER_TIMEOUT_MS,
    repeatsLost: true,
    onError: () => undefined,
  });
  pool.on('connect', () => (connected += 1));
  await pool.query('CREATE SCHEMA scratch');
  await pool.query('CREATE TABLE scratch.notes (id integer PRIMARY KEY)');
});
afterAll(async () => {
  await pool.end();
  await relay.close();
  await database.drop();
});

const ask = async (): Promise<unknown> => (await pool.query('SELECT 1 AS one')).rows;

describe('a statement whose connection died without a word', () => {
  it('fails as unavailable, is not repeated, and the next one has another connection', async () => {
    await ask();
    const before = connected;
    relay.strand();
    await expect(pool.query('INSERT INTO scratch.notes VALUES (1)')).rejects.toSatisfy(
      isUnavailable,
    );
    expect(connected).toBe(before);
    expect(await ask()).toEqual([{ one: 1 }]);
    expect(connected).toBe(before + 1);
    expect(pool.totalCount).toBe(1);
  }, 60_000);

  it('ends its transaction, which stores nothing', async () => {
    const writing = withTransaction(pool, async (tx) => {
      await tx.query('INSERT INTO scratch.notes VALUES (2)');
      relay.strand();
      await tx.query('INSERT INTO scratch.notes VALUES (3)');
    });
    await expect(writing).rejects.toSatisfy(isUnavailable);
    const { rows } = await pool.query('SELECT id FROM scratch.notes WHERE id IN (2, 3)');
    expect(rows).toEqual([]);
  }, 60_000);
});

describe('a statement that takes longer than it may', () => {
  it('keeps nobody waiting who comes after it', async () => {
    await expect(pool.query('SELECT pg_sleep(60)')).rejects.toSatisfy(isUnavailable);
    expect(await ask()).toEqual([{ one: 1 }]);
  }, 60_000);

  it('is waited for when it says so', async () => {
    const slow = { text: 'SELECT pg_sleep(4), 7 AS seven', query_timeout: 60_000 };
    expect((await pool.query(slow)).rows).toMatchObject([{ seven: 7 }]);
  }, 60_000);
});

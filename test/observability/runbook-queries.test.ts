import { createPool } from '@arrakis/postgres';
import { createTestDatabase, type TestDatabase } from '@arrakis/testkit';
import type { Pool } from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { queriesOf } from './support/runbooks.ts';

/** Whoever is woken at night pastes them: they have to run. */

let database: TestDatabase;
let app: Pool;
let owner: Pool;

beforeAll(async () => {
  database = await createTestDatabase();
  const onError = (): void => undefined;
  const settings = { max: 1, applicationName: 'runbooks', onError };
  app = createPool({ url: database.appUrl, ...settings });
  owner = createPool({ url: database.adminUrl, ...settings });
});
afterAll(async () => {
  await Promise.all([app.end(), owner.end()]);
  await database.drop();
});

describe('the SQL in the runbooks', () => {
  it('runs as the role that the page names, and what changes something runs as an administrator', async () => {
    const queries = await queriesOf('sql');
    expect(queries.length).toBeGreaterThan(15);
    for (const { where, text } of queries) {
      const pool = text.startsWith('SELECT') ? app : owner;
      const client = await pool.connect();
      try {
        await client.query('BEGIN');
        await client.query(text);
      } catch (error) {
        throw new Error(`${where}: ${text}`, { cause: error });
      } finally {
        await client.query('ROLLBACK');
        client.release();
      }
    }
  });
});

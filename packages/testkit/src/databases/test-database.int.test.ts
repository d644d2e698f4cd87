import { Client } from 'pg';
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import { createTestDatabase, databaseUrl, type TestDatabase } from './test-database.ts';

describe('a test database', () => {
  let first: TestDatabase;
  let second: TestDatabase;

  beforeAll(async () => {
    [first, second] = await Promise.all([createTestDatabase(), createTestDatabase()]);
  });
  afterAll(async () => {
    await Promise.all([first.drop(), second.drop()]);
  });

  it('holds the migrated schema', async () => {
    const tables = await ask<{ count: number }>(
      first.adminUrl,
      `SELECT count(*)::int AS count FROM pg_tables WHERE schemaname = 'freeside'`,
    );
    expect(tables[0]!.count).toBeGreaterThan(3);
  });

  it('lets each role in by its own password, as that role', async () => {
    for (const [url, role] of [
      [first.migratorUrl, 'migrator'],
      [first.appUrl, 'freeside_app'],
      [first.finnUrl, 'loa_finn_ro'],
    ] as const) {
      const rows = await ask<{ role: string; name: string }>(
        url,
        'SELECT current_user AS role, current_database() AS name',
      );
      expect(rows).toEqual([{ role, name: first.name }]);
    }
  });

  it('refuses a wrong password', async () => {
    const url = databaseUrl(first.appUrl, { database: first.name, password: 'wrong' });
    await expect(ask(url, 'SELECT 1')).rejects.toMatchObject({ code: '28P01' });
  });

  it('has the privileges of its template', async () => {
    const { templateDatabase } = inject('backends');
    const acl = 'SELECT datacl::text AS acl, datdba FROM pg_database WHERE datname = $1';
    const wanted = await ask<{ acl: string | null }>(first.adminUrl, acl, [templateDatabase]);
    const given = await ask<{ acl: string | null }>(first.adminUrl, acl, [first.name]);
    expect(sortedAcl(given[0]!.acl)).toEqual(sortedAcl(wanted[0]!.acl));
  });

  it('is apart from every other', async () => {
    await ask(first.adminUrl, 'CREATE TABLE public.only_here (id int)');
    await expect(ask(second.adminUrl, 'SELECT FROM public.only_here')).rejects.toMatchObject({
      code: '42P01',
    });
  });

  it('goes away even with clients connected', async () => {
    const third = await createTestDatabase();
    const client = new Client({ connectionString: third.appUrl });
    client.on('error', () => undefined);
    await client.connect();
    await third.drop();
    await expect(client.query('SELECT 1')).rejects.toThrow();
    await expect(ask(third.appUrl, 'SELECT 1')).rejects.toMatchObject({ code: '3D000' });
  });
});

function sortedAcl(acl: string | null): string[] {
  return (acl ?? '').replace(/[{}]/g, '').split(',').sort();
}

async function ask<R extends object>(url: string, sql: string, values: unknown[] = []) {
  const client = new Client({ connectionString: url });
  await client.connect();
  try {
    return (await client.query<R>(sql, values)).rows;
  } finally {
    await client.end();
  }
}

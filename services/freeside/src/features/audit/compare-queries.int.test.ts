import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { createPool } from '@arrakis/postgres';
import type { Pool } from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { letTimePass, mint, openCommunity } from '../reservations/test-support/ledger-fixture.ts';
import {
  createAuditFixture,
  holdRequest,
  type AuditFixture,
} from './test-support/audit-fixture.ts';

/** Whoever looks into a broken trail pastes them: they must run, and overlook no column. */
const PAGE = resolve(import.meta.dirname, '../../../../../docs/audit.md');

let fixture: AuditFixture;
let admin: Pool;
let differing: string;
let missing: string;
beforeAll(async () => {
  const [, sql = ''] = /^```sql\n([^]*?)^```/m.exec(await readFile(PAGE, 'utf8')) ?? [];
  [differing = '', missing = ''] = sql
    .split(/;\s*\n/)
    .map((statement) => statement.trim())
    .filter((statement) => statement.startsWith('SELECT'));
  fixture = await createAuditFixture();
  const { adminUrl } = fixture.database;
  const onError = (): void => undefined;
  admin = createPool({ url: adminUrl, max: 1, applicationName: 'test', onError });
  // Past the triggers, as whoever has the server.
  await admin.query('SET session_replication_role = replica');
  const account = await openCommunity(fixture.owner);
  await mint(fixture.app, account.communityId, 5n, new Date(Date.now() + 100_000));
  await letTimePass(fixture.owner, account.communityId, 200);
  await fixture.app.query('SELECT * FROM freeside.expire_lots(10)');
  await mint(fixture.app, account.communityId, 1_000_000n);
  await fixture.newService().reserve(holdRequest(account));
  await fixture.newAudit().seal();
});
afterAll(async () => {
  await admin.end();
  await fixture.close();
});

async function namedBy(query: string): Promise<string[]> {
  const { rows } = await fixture.app.query<{ source: string }>({ text: query });
  return rows.map(({ source }) => source);
}

describe('the queries of docs/audit.md', () => {
  it('name nothing where nothing was changed', async () => {
    expect([await namedBy(differing), await namedBy(missing)]).toEqual([[], []]);
  });

  it.each([
    ['community_id', 'gen_random_uuid()'],
    ['kind', `'x'`],
    ['amount_micro', 'amount_micro + 1'],
    ['recorded_at', `recorded_at + interval '1 us'`],
    ['reservation_id', 'gen_random_uuid()'],
    ['lot_id', 'gen_random_uuid()'],
  ])('name an entry and an adjustment whose %s was changed', async (column, value) => {
    await changed(column, value, ['entry', 'adjustment']);
  });

  it.each([
    ['from_account', `'x'`],
    ['to_account', `'x'`],
  ])('name an entry whose %s was changed', async (column, value) => {
    await changed(column, value, ['entry']);
  });

  it('name what has no record', async () => {
    await admin.query('BEGIN');
    await admin.query('DELETE FROM freeside.audit_records');
    await admin.query(`UPDATE freeside.ledger_entries SET created_at = now() - interval '1 hour'`);
    await admin.query(
      `UPDATE freeside.credit_lot_adjustments SET created_at = now() - interval '1 hour'`,
    );
    const { rows } = await admin.query<{ source: string }>(missing);
    await admin.query('ROLLBACK');
    expect(new Set(rows.map(({ source }) => source))).toEqual(new Set(['entry', 'adjustment']));
  });
});

/** In one record of each source, and back. */
async function changed(column: string, value: string, sources: readonly string[]): Promise<void> {
  for (const source of sources) {
    await admin.query('BEGIN');
    await admin.query({
      text: `UPDATE freeside.audit_records SET ${column} = ${value} WHERE sequence =
               (SELECT max(sequence) FROM freeside.audit_records WHERE source = $1)`,
      values: [source],
    });
    const { rows } = await admin.query<{ source: string }>(differing);
    await admin.query('ROLLBACK');
    expect(rows.map((row) => row.source)).toEqual([source]);
  }
}

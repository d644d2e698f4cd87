import { setTimeout as pause } from 'node:timers/promises';
import pg from 'pg';
import { requiredSecretEnv } from '../lib/env.ts';
import { runScript, say } from '../lib/entry.ts';
import { PlainError } from '../lib/plain-error.ts';
import { formatRecord, missingFrom, readRecord } from './schema-record.ts';
import { migrationNames } from './migration-names.ts';

const USAGE = [
  'usage: schema.ts record   notes which migrations have run, for all roles to read',
  '       schema.ts wait     returns when every migration of this image has run',
  'MIGRATE_DATABASE_URL (record) is the database as its owner, DATABASE_URL (wait) as any role.',
];

const RETRY_MS = 500;
const CONNECT_TIMEOUT_MS = 5_000;

await runScript('schema', async () => {
  const [command, ...rest] = process.argv.slice(2);
  if (rest.length > 0) throw new PlainError('what shall be done?', USAGE);
  if (command === 'record') {
    await record(requiredSecretEnv('MIGRATE_DATABASE_URL', 'the database, as role migrator'));
  } else if (command === 'wait') {
    await wait(requiredSecretEnv('DATABASE_URL', 'the database, as any role'));
  } else {
    throw new PlainError('what shall be done?', USAGE);
  }
});

/**
 * The table of migrations is its owner's alone. A comment is readable by whoever may connect, so that
 * waiting for the schema costs no role a right.
 */
async function record(url: string): Promise<void> {
  await withClient(url, async (client) => {
    const { rows } = await client.query<{ name: string }>(
      'SELECT name FROM public.freeside_migrations ORDER BY name',
    );
    const text = formatRecord(rows.map(({ name }) => name));
    // A utility statement takes no parameters: the server quotes the text itself.
    const { rows: quoted } = await client.query<{ statement: string }>(
      `SELECT format('COMMENT ON SCHEMA freeside IS %L', $1::text) AS statement`,
      [text],
    );
    await client.query(quoted[0]?.statement ?? '');
    say(`${String(rows.length)} migrations recorded`);
  });
}

/** Waits as long as it takes: a pod that waits is seen, one that gives up comes again later each time. */
async function wait(url: string): Promise<void> {
  // The first process of a container ignores what it doesn't handle, and would wait out its grace.
  process.once('SIGTERM', () => {
    process.exit(1);
  });
  const needed = await migrationNames();
  let said = '';
  for (;;) {
    const missing = await look(url, needed);
    if (missing === '') break;
    if (missing !== said) say(`waiting: ${missing}`);
    said = missing;
    await pause(RETRY_MS);
  }
  say(`the schema has all ${String(needed.length)} migrations of this image`);
}

/** What is missing, in words that repeat nothing secret; empty when nothing is. */
async function look(url: string, needed: readonly string[]): Promise<string> {
  try {
    return await withClient(url, async (client) => {
      const { rows } = await client.query<{ text: string | null }>(
        `SELECT obj_description(to_regnamespace('freeside')::oid, 'pg_namespace') AS text`,
      );
      const missing = missingFrom(readRecord(rows[0]?.text ?? ''), needed);
      if (missing.length === 0) return '';
      return `${String(missing.length)} migrations have not run yet, the next is ${missing[0] ?? ''}`;
    });
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'no answer';
    return `the database is not there yet (${code})`;
  }
}

async function withClient<T>(url: string, fn: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({
    connectionString: url,
    application_name: 'schema',
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    query_timeout: CONNECT_TIMEOUT_MS,
  });
  client.on('error', () => undefined);
  try {
    await client.connect();
    return await fn(client);
  } finally {
    await client.end().catch(() => undefined);
  }
}

import type { Secret } from '../lib/objects.ts';
import type { Platform } from '../lib/platform.ts';
import { must, type Scenario } from '../lib/scenario.ts';

/** A statement that a role must not get away with. */
interface Attempt {
  readonly of: string;
  readonly statement: string;
}

const FINN: readonly Attempt[] = [
  { of: 'insert', statement: `INSERT INTO freeside.communities (slug, name) VALUES ('x', 'x')` },
  { of: 'update', statement: `UPDATE freeside.accounts SET balance_micro = 0` },
  { of: 'delete', statement: `DELETE FROM freeside.budget_reservations` },
  { of: 'create', statement: `CREATE TABLE freeside.mine (a int)` },
  { of: 'temporary', statement: `CREATE TEMPORARY TABLE mine (a int)` },
];
const FREESIDE: readonly Attempt[] = [
  { of: 'a key of its own', statement: `INSERT INTO freeside.s2s_jwks_public_keys DEFAULT VALUES` },
  {
    of: 'a key made to last',
    statement: `UPDATE freeside.s2s_jwks_public_keys SET expires_at = now()`,
  },
  { of: 'a key removed', statement: `DELETE FROM freeside.s2s_jwks_public_keys` },
];
const JWKS_WRITER: readonly Attempt[] = [
  { of: 'the books', statement: `SELECT 1 FROM freeside.accounts` },
  { of: 'members', statement: `SELECT 1 FROM freeside.community_members` },
  {
    of: 'another key in an old one’s place',
    statement: `UPDATE freeside.s2s_jwks_public_keys SET kid = 'x'`,
  },
];

/** Each database role tries what it must not do, with its own password, in the running database. */
export const roles: Scenario = {
  name: 'roles',
  title: 'What the database roles can do',
  run: async ({ platform, show }) => {
    await show('finn’s role writes nothing, read-only switched off included', () =>
      allRefused(platform, 'loa_finn_ro', FINN),
    );
    await show('freeside’s role can’t write the signing keys', () =>
      allRefused(platform, 'freeside_app', FREESIDE),
    );
    await show('jwks_writer reaches one table and no function', async () => {
      const refused = await allRefused(platform, 'jwks_writer', JWKS_WRITER);
      const tables = await platform.sql(
        `SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
          WHERE n.nspname NOT IN ('pg_catalog', 'information_schema') AND c.relkind IN ('r', 'v', 'm', 'p', 'f')
            AND (has_table_privilege('jwks_writer', c.oid, 'SELECT, INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER')
                 OR has_any_column_privilege('jwks_writer', c.oid, 'SELECT, INSERT, UPDATE, REFERENCES'))`,
      );
      must(tables.flat().join() === 's2s_jwks_public_keys', `it reaches ${tables.flat().join()}`);
      const functions = await platform.sql(
        `SELECT p.proname FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
          WHERE n.nspname = 'freeside' AND has_function_privilege('jwks_writer', p.oid, 'EXECUTE')`,
      );
      must(functions.length === 0, `it may call ${functions.flat().join()}`);
      return `s2s_jwks_public_keys alone; ${refused}`;
    });
  },
};

async function allRefused(
  platform: Platform,
  role: string,
  attempts: readonly Attempt[],
): Promise<string> {
  const { data = {} } = await platform.kube.get<Secret>('secret', 'arrakis-database');
  const password = Buffer.from(data[`${role.replaceAll('_', '-')}-password`] ?? '', 'base64');
  must(password.length > 0, `no password of ${role}`);
  // Undone whatever comes of it.
  const script = attempts
    .map(({ of, statement }) =>
      [
        `\\echo '== ${of}'`,
        'BEGIN;',
        'SET TRANSACTION READ WRITE;',
        `${statement};`,
        'ROLLBACK;',
      ].join('\n'),
    )
    .join('\n');
  const said = await platform.kube.exec(
    [
      ...['-i', 'statefulset/arrakis-postgres', '--', 'sh', '-c'],
      `PGPASSWORD=${password.toString()} psql -h 127.0.0.1 -U ${role} -d arrakis -XAtq -v ON_ERROR_STOP=0 -f - 2>&1`,
    ],
    { input: `SET default_transaction_read_only = off;\n${script}\n` },
  );
  const parts = said.split(/^== /m).slice(1);
  must(parts.length === attempts.length, `psql said: ${said.slice(0, 300)}`);
  const done = parts.filter((part) => !/permission denied|must be owner/.test(part));
  must(done.length === 0, `${role} was not refused: ${done.join('; ')}`);
  return `refused: ${attempts.map(({ of }) => of).join(', ')}`;
}

import { readFile } from 'node:fs/promises';
import pg from 'pg';
import { scramVerifier } from './scram.ts';

/** A password, or whatever holds one back until asked. */
export type PasswordSource = string | { reveal(): string };

export interface BootstrapOptions {
  /** Of an administrator, to any database of the server. */
  readonly adminUrl: string;
  /** Creates the roles; safe to run again. */
  readonly sqlFile: string;
  readonly database: string;
  /** Roles that may connect to the database, and their passwords. */
  readonly passwords: Readonly<Record<string, PasswordSource>>;
}

const OWNER = 'migrator';
const LOCK_NAME = 'arrakis bootstrap';

/**
 * Prepares a server: roles, their passwords, the database (owned by `migrator`, which may then
 * create schemas in it), and nothing left of what PUBLIC may do by default. Safe to run again, also
 * at the same time.
 */
export async function bootstrapRoles(options: BootstrapOptions): Promise<void> {
  const roles = Object.keys(options.passwords);
  const rolesSql = await readFile(options.sqlFile, 'utf8');
  await withClient(options.adminUrl, async (admin) => {
    await admin.query('SELECT pg_advisory_lock(hashtextextended($1, 0))', [LOCK_NAME]);
    await admin.query(rolesSql);
    await setPasswords(admin, options.passwords);
    await createDatabase(admin, options.database);
    await limitDatabase(admin, options.database, roles);
  });
  await withClient(urlOf(options.adminUrl, options.database), async (admin) => {
    await admin.query('REVOKE ALL ON SCHEMA public FROM PUBLIC');
  });
}

/** The same server, another database. */
function urlOf(url: string, database: string): string {
  const parsed = new URL(url);
  parsed.pathname = `/${encodeURIComponent(database)}`;
  return parsed.toString();
}

async function withClient(url: string, fn: (client: pg.Client) => Promise<void>): Promise<void> {
  const client = new pg.Client({ connectionString: url, application_name: 'bootstrap' });
  client.on('error', () => undefined);
  await client.connect();
  try {
    await fn(client);
  } finally {
    await client.end();
  }
}

/** Utility statements take no parameters: the parts have been quoted by the driver instead. */
async function run(admin: pg.Client, ...parts: string[]): Promise<void> {
  await admin.query(parts.join(' '));
}

async function setPasswords(
  admin: pg.Client,
  passwords: BootstrapOptions['passwords'],
): Promise<void> {
  for (const [role, source] of Object.entries(passwords)) {
    const password = typeof source === 'string' ? source : source.reveal();
    const verifier = pg.escapeLiteral(scramVerifier(password));
    await run(admin, 'ALTER ROLE', pg.escapeIdentifier(role), 'PASSWORD', verifier);
  }
}

async function createDatabase(admin: pg.Client, database: string): Promise<void> {
  const existing = await admin.query('SELECT 1 FROM pg_database WHERE datname = $1', [database]);
  if (existing.rows.length > 0) return;
  const { rows } = await admin.query<{ superuser: boolean }>(
    'SELECT rolsuper AS superuser FROM pg_roles WHERE rolname = current_user',
  );
  // Only a superuser may give a database to a role that it isn't a member of.
  if (rows[0]?.superuser !== true) await run(admin, 'GRANT', OWNER, 'TO CURRENT_USER');
  await run(admin, 'CREATE DATABASE', pg.escapeIdentifier(database), 'OWNER', OWNER);
}

async function limitDatabase(
  admin: pg.Client,
  database: string,
  roles: readonly string[],
): Promise<void> {
  const name = pg.escapeIdentifier(database);
  await run(admin, 'REVOKE ALL ON DATABASE', name, 'FROM PUBLIC');
  for (const role of roles) {
    await run(admin, 'GRANT CONNECT ON DATABASE', name, 'TO', pg.escapeIdentifier(role));
  }
}

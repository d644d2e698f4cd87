import { randomBytes } from 'node:crypto';
import { Client, escapeIdentifier } from 'pg';
import { providedBackends, type TestBackends } from './test-backends.ts';

export interface TestDatabase {
  readonly name: string;
  /** Superuser; for looking at what the roles can't see, and for breaking things. */
  readonly adminUrl: string;
  readonly migratorUrl: string;
  readonly appUrl: string;
  readonly finnUrl: string;
  readonly jwksWriterUrl: string;
  /** Ends every connection to it and drops it. */
  drop(): Promise<void>;
}

/** A database of its own for a test file, cloned from the migrated template. */
export async function createTestDatabase(given?: TestBackends): Promise<TestDatabase> {
  const backends = given ?? (await providedBackends());
  const name = `t_${randomBytes(8).toString('hex')}`;
  const { adminUrl, passwords, templateDatabase } = backends;
  await withAdmin(adminUrl, async (admin) => {
    const create = `CREATE DATABASE ${escapeIdentifier(name)} TEMPLATE ${escapeIdentifier(templateDatabase)}`;
    await admin.query(create);
    await copyPrivileges(admin, templateDatabase, name);
  });
  const urlFor = (user: string, password: string): string =>
    databaseUrl(adminUrl, { database: name, user, password });
  return {
    name,
    adminUrl: databaseUrl(adminUrl, { database: name }),
    migratorUrl: urlFor('migrator', passwords.migrator),
    appUrl: urlFor('freeside_app', passwords.freeside_app),
    finnUrl: urlFor('loa_finn_ro', passwords.loa_finn_ro),
    jwksWriterUrl: urlFor('jwks_writer', passwords.jwks_writer),
    drop: () =>
      withAdmin(adminUrl, async (admin) => {
        const drop = `DROP DATABASE IF EXISTS ${escapeIdentifier(name)} WITH (FORCE)`;
        await admin.query(drop);
      }),
  };
}

/** The same server and user, or another user, but that database. */
export function databaseUrl(
  base: string,
  change: { readonly database: string; readonly user?: string; readonly password?: string },
): string {
  const url = new URL(base);
  url.pathname = `/${change.database}`;
  if (change.user !== undefined) url.username = change.user;
  if (change.password !== undefined) url.password = change.password;
  return url.href;
}

export async function withAdmin<T>(url: string, use: (admin: Client) => Promise<T>): Promise<T> {
  const client = new Client({ connectionString: url, connectionTimeoutMillis: 10_000 });
  client.on('error', () => undefined);
  await client.connect();
  try {
    return await use(client);
  } finally {
    await client.end();
  }
}

/** A clone has its template's contents but neither its owner nor its privileges. */
async function copyPrivileges(admin: Client, template: string, name: string): Promise<void> {
  const { rows } = await admin.query<{ statement: string }>(
    `SELECT format('ALTER DATABASE %I OWNER TO %I', $2::text, pg_get_userbyid(datdba)) AS statement
       FROM pg_database WHERE datname = $1
     UNION ALL
     SELECT format('REVOKE ALL ON DATABASE %I FROM PUBLIC', $2::text)
       FROM pg_database WHERE datname = $1 AND datacl IS NOT NULL
     UNION ALL
     SELECT format('GRANT %s ON DATABASE %I TO %s', acl.privilege_type, $2::text,
                   CASE acl.grantee WHEN 0 THEN 'PUBLIC'
                        ELSE quote_ident(pg_get_userbyid(acl.grantee)) END)
       FROM pg_database, aclexplode(datacl) AS acl WHERE datname = $1`,
    [template, name],
  );
  for (const { statement } of rows) await admin.query(statement);
}

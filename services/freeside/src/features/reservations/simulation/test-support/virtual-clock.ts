import type { Queryable } from '@arrakis/postgres';

/**
 * Has the ledger's functions read the setting `simulation.now` of their session where they would
 * read the clock. Nothing else in them changes, so that deadlines, windows and midnight are decided
 * to the millisecond by the SQL that runs in production. For a database that is thrown away.
 */
export async function installVirtualClock(admin: Queryable): Promise<void> {
  await admin.query('CREATE SCHEMA simulation');
  await admin.query('GRANT USAGE ON SCHEMA simulation TO PUBLIC');
  await admin.query(
    `CREATE FUNCTION simulation.now() RETURNS timestamptz LANGUAGE sql STABLE
     RETURN current_setting('simulation.now')::timestamptz`,
  );
  const { rows } = await admin.query<{ definition: string }>(
    `SELECT pg_get_functiondef(p.oid) AS definition FROM pg_proc p
     WHERE p.pronamespace = 'freeside'::regnamespace AND p.prosrc ~ '\\m(now|clock_timestamp)\\(\\)'`,
  );
  if (rows.length === 0) throw new Error('no function of the ledger reads the clock');
  for (const { definition } of rows) {
    await admin.query(definition.replaceAll(/\b(?:now|clock_timestamp)\(\)/g, 'simulation.now()'));
  }
}

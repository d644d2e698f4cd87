import type { Pool, PoolClient } from 'pg';

export type LockOutcome<T> = { readonly ran: true; readonly value: T } | { readonly ran: false };

/**
 * Runs `fn` if nobody else in this database holds the lock `name`, and holds it meanwhile on a
 * connection of its own (`fn` uses the pool as ever). The lock goes with its connection: `signal`
 * is aborted if that breaks, because then another process may begin.
 *
 * The lock belongs to a transaction, not to the session, so that it also holds behind a pooler
 * that lends a connection for a transaction. That transaction does nothing else; between
 * statements it keeps no snapshot and hinders no vacuum.
 */
export async function withAdvisoryLock<T>(
  pool: Pool,
  name: string,
  fn: (signal: AbortSignal) => Promise<T>,
): Promise<LockOutcome<T>> {
  const client = await pool.connect();
  const lost = new AbortController();
  const onLost = (): void => lost.abort();
  client.on('error', onLost);
  client.on('end', onLost);
  let broken: Error | undefined;
  try {
    if (!(await tryLock(client, name))) return { ran: false };
    return { ran: true, value: await fn(lost.signal) };
  } finally {
    client.removeListener('error', onLost);
    client.removeListener('end', onLost);
    broken = lost.signal.aborted ? new Error('lock connection lost') : await unlock(client);
    client.release(broken);
  }
}

async function tryLock(client: PoolClient, name: string): Promise<boolean> {
  await client.query('BEGIN');
  await client.query('SET LOCAL idle_in_transaction_session_timeout = 0');
  const { rows } = await client.query<{ locked: boolean }>(
    'SELECT pg_try_advisory_xact_lock(hashtextextended($1, 0)) AS locked',
    [name],
  );
  return rows[0]?.locked === true;
}

async function unlock(client: PoolClient): Promise<Error | undefined> {
  try {
    await client.query('ROLLBACK');
    return undefined;
  } catch (error) {
    return error instanceof Error ? error : new Error('unlock failed');
  }
}

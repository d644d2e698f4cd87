import type { Pool, PoolClient } from 'pg';
import type { Queryable } from './queryable.ts';

/**
 * Runs `fn` in one transaction and commits what it did; whatever it throws rolls back and is thrown
 * on. If the connection breaks at COMMIT the outcome is unknown: callers' writes are idempotent.
 *
 * @throws Error when a statement failed inside `fn` and `fn` kept it to itself: nothing was stored.
 */
export async function withTransaction<T>(
  pool: Pool,
  fn: (tx: Queryable) => Promise<T>,
): Promise<T> {
  const client = await pool.connect();
  let broken: Error | undefined;
  try {
    await client.query('BEGIN');
    const value = await fn(client);
    const { command } = await client.query('COMMIT');
    // PostgreSQL answers the COMMIT of a failed transaction with ROLLBACK, and no error.
    if (command !== 'COMMIT') throw new Error('transaction was rolled back instead of committed');
    return value;
  } catch (error) {
    broken = await rollBack(client);
    throw error;
  } finally {
    client.release(broken);
  }
}

/** What keeps the connection from being used again, if anything does. */
async function rollBack(client: PoolClient): Promise<Error | undefined> {
  try {
    await client.query('ROLLBACK');
    return undefined;
  } catch (error) {
    return error instanceof Error ? error : new Error('rollback failed');
  }
}

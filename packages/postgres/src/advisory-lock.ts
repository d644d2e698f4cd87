import type { Pool, PoolClient, QueryResultRow } from 'pg';

export type LockOutcome<T> = { readonly ran: true; readonly value: T } | { readonly ran: false };

/** How soon a connection that died without a word is missed. */
export interface LockPulse {
  /** Between two signs of life. */
  readonly heartbeatMs: number;
  /** For the answer to one. */
  readonly answerTimeoutMs: number;
  /** After so long without a sign the database gives the lock away. */
  readonly silenceMs: number;
}

/** The holder misses its connection after 25 s at most, and has stopped before another one begins. */
const PULSE: LockPulse = { heartbeatMs: 15_000, answerTimeoutMs: 10_000, silenceMs: 60_000 };

/**
 * Runs `fn` if nobody else in this database holds the lock `name`, and holds it meanwhile on a
 * connection of its own (`fn` uses the pool as ever). The lock goes with its connection: `signal`
 * is aborted if that breaks, because then another process may begin. A machine that vanishes with
 * the lock keeps it for a minute.
 *
 * The lock belongs to a transaction, not to the session, so that it also holds behind a pooler
 * that lends a connection for a transaction. That transaction does nothing else but show that it is
 * there; between statements it keeps no snapshot and hinders no vacuum.
 */
export async function withAdvisoryLock<T>(
  pool: Pool,
  name: string,
  fn: (signal: AbortSignal) => Promise<T>,
  pulse: LockPulse = PULSE,
): Promise<LockOutcome<T>> {
  const client = await pool.connect();
  const lost = new AbortController();
  const onLost = (): void => lost.abort(new Error('lock connection lost'));
  client.on('error', onLost);
  client.on('end', onLost);
  const ask = answeredWithin(client, pulse.answerTimeoutMs);
  let stopBeating = (): void => undefined;
  let broken: Error | undefined;
  try {
    if (!(await tryLock(ask, name, pulse.silenceMs))) return { ran: false };
    stopBeating = beat(ask, pulse.heartbeatMs, onLost);
    return { ran: true, value: await fn(lost.signal) };
  } finally {
    stopBeating();
    client.removeListener('error', onLost);
    client.removeListener('end', onLost);
    broken = lost.signal.aborted ? new Error('lock connection lost') : await unlock(ask);
    client.release(broken);
  }
}

type Ask = <R extends QueryResultRow>(text: string, values?: unknown[]) => Promise<readonly R[]>;

function answeredWithin(client: PoolClient, timeoutMs: number): Ask {
  return async <R extends QueryResultRow>(text: string, values: unknown[] = []) => {
    const statement = { text, values, query_timeout: timeoutMs };
    return (await client.query<R>(statement)).rows;
  };
}

async function tryLock(ask: Ask, name: string, silenceMs: number): Promise<boolean> {
  await ask('BEGIN');
  await ask(`SELECT set_config('idle_in_transaction_session_timeout', $1, true)`, [
    `${silenceMs}ms`,
  ]);
  const [row] = await ask<{ locked: boolean }>(
    'SELECT pg_try_advisory_xact_lock(hashtextextended($1, 0)) AS locked',
    [name],
  );
  return row?.locked === true;
}

/** Shows the database and us that the connection is there. Returns what ends it. */
function beat(ask: Ask, everyMs: number, onLost: () => void): () => void {
  let timer: NodeJS.Timeout | undefined;
  let isOver = false;
  const next = (): void => {
    if (isOver) return;
    timer = setTimeout(() => {
      ask('SELECT 1').then(next, onLost);
    }, everyMs);
  };
  next();
  return () => {
    isOver = true;
    clearTimeout(timer);
  };
}

async function unlock(ask: Ask): Promise<Error | undefined> {
  try {
    await ask('ROLLBACK');
    return undefined;
  } catch (error) {
    return error instanceof Error ? error : new Error('unlock failed');
  }
}

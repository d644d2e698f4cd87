import pg from 'pg';
import { isConnectionLost } from './errors.ts';
import type { Queryable } from './queryable.ts';

export interface PoolOptions {
  readonly url: string;
  /** Connections at most. */
  readonly max: number;
  /** As `pg_stat_activity` shows it. */
  readonly applicationName: string;
  /** To get a connection, new or from the pool. Default 5 s. */
  readonly connectTimeoutMs?: number;
  /**
   * For the answer to a statement. Longer than the server lets a statement run: only a connection that
   * died without a word gets here. The statement may have been done; it fails as unavailable, is not
   * repeated, and its connection is not used again. A statement that may take longer says so by a
   * `query_timeout` of its own. Without it an answer is waited for as long as the kernel does.
   */
  readonly answerTimeoutMs?: number;
  /**
   * Repeats a statement of `pool.query` whose connection broke under it, on another connection. Only
   * for statements that bear it, for the first one may have been done: reads, and writes that tell a
   * repetition. Transactions are never repeated.
   */
  readonly repeatsLost?: boolean;
  /** Called for a connection that breaks while nobody waits for it. */
  readonly onError: (error: Error) => void;
}

const DEFAULT_CONNECT_TIMEOUT_MS = 5_000;
const IDLE_TIMEOUT_MS = 30_000;
/** Without it the kernel waits two hours before it asks whether the other end is still there. */
const KEEP_ALIVE_AFTER_MS = 10_000;

/** Type numbers of `pg_type`. */
const OID = { int8: 20, int8Array: 1016, textArray: 1009, date: 1082, dateArray: 1182 } as const;

// The driver's types know no array types, its table of parsers does.
const driverParser = pg.types.getTypeParser as (oid: number, format?: string) => TextParser;
type TextParser = (text: string) => unknown;

const parseInt8 = (text: string): bigint => BigInt(text);
const asIs = (text: string): string => text;

/**
 * Where the driver's reading differs from ours: `bigint` would be a string and `date` a local
 * midnight. `timestamptz` stays a `Date`, `numeric` a string.
 */
const PARSERS = new Map<number, TextParser>([
  [OID.int8, parseInt8],
  [OID.int8Array, (text) => readArray(text, parseInt8)],
  [OID.date, asIs],
  [OID.dateArray, (text) => readArray(text, asIs)],
]);

function readArray(text: string, parse: TextParser): unknown[] {
  const items = driverParser(OID.textArray)(text) as (string | null)[];
  return items.map((item) => (item === null ? null : parse(item)));
}

const types: pg.CustomTypesConfig = {
  getTypeParser: (oid: number, format?: string) =>
    (format === 'binary' ? undefined : PARSERS.get(oid)) ?? driverParser(oid, format),
};

/**
 * A pool that reads `bigint` as `bigint`, `date` as `YYYY-MM-DD`, and never brings the process down:
 * a connection that breaks, idle or checked out, reports to `onError`, and to whoever uses it.
 *
 * @throws Error when the URL can't be right, of which the driver would tell each statement instead; no
 *   error repeats it, because it may hold a password.
 */
export function createPool(options: PoolOptions): pg.Pool {
  if (!URL.canParse(options.url) || !/^postgres(?:ql)?:$/.test(new URL(options.url).protocol)) {
    throw new Error('the database URL must be like postgres://user:password@host:5432/database');
  }
  const pool = new pg.Pool({
    connectionString: options.url,
    max: options.max,
    application_name: options.applicationName,
    connectionTimeoutMillis: options.connectTimeoutMs ?? DEFAULT_CONNECT_TIMEOUT_MS,
    idleTimeoutMillis: IDLE_TIMEOUT_MS,
    ...(options.answerTimeoutMs === undefined ? {} : { query_timeout: options.answerTimeoutMs }),
    keepAlive: true,
    keepAliveInitialDelayMillis: KEEP_ALIVE_AFTER_MS,
    types,
  });
  // The pool listens to its idle clients only: without this, one that breaks while checked out
  // would throw. Then the pool's own event would be the second report of the same break.
  pool.on('connect', (client) => client.on('error', options.onError));
  pool.on('error', () => undefined);
  if (options.repeatsLost === true) {
    pool.query = repeatingLost(pool.query.bind(pool) as Queryable['query']) as typeof pool.query;
  }
  return pool;
}

/** When a pooler goes, every idle connection goes with it; the pool may not have heard of all yet. */
const REPETITIONS = 2;

const repeatedResults = new WeakSet<object>();

/** Whether the statement was repeated, so that the first one may have been done as well. */
export function wasRepeated(result: object): boolean {
  return repeatedResults.has(result);
}

/** `once`, and again on another connection while the one under it breaks; see {@link wasRepeated}. */
export function repeatingLost(once: Queryable['query']): Queryable['query'] {
  return async <R extends pg.QueryResultRow>(
    statement: string | pg.QueryConfig,
    values?: unknown[],
  ) => {
    for (let repetitions = 0; ; repetitions += 1) {
      try {
        const result = await once<R>(statement, values);
        if (repetitions > 0) repeatedResults.add(result);
        return result;
      } catch (error) {
        if (repetitions >= REPETITIONS || !isConnectionLost(error)) throw error;
      }
    }
  };
}

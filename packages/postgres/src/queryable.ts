import type { QueryConfig, QueryResult, QueryResultRow } from 'pg';

/** Whatever runs a statement: a pool, a client, or the transaction that a caller is in. */
export interface Queryable {
  query<R extends QueryResultRow = QueryResultRow>(
    statement: string | QueryConfig,
    values?: unknown[],
  ): Promise<QueryResult<R>>;
}

import type { Queryable } from '@arrakis/postgres';
import type { QueryConfig, QueryResult, QueryResultRow } from 'pg';

/** The same database; `watch` sees each statement first and may throw in its place. */
export function watched(db: Queryable, watch: (sql: string) => void): Queryable {
  return {
    async query<R extends QueryResultRow>(
      statement: string | QueryConfig,
      values?: unknown[],
    ): Promise<QueryResult<R>> {
      watch(typeof statement === 'string' ? statement : statement.text);
      return db.query<R>(statement, values);
    },
  };
}

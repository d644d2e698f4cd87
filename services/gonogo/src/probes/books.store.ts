import type { Queryable } from '@arrakis/postgres';

/** An equation of the books that doesn't hold. */
export interface Drift {
  readonly communityId: string;
  readonly equation: string;
  /** Micro-credits, decimal. */
  readonly driftMicro: string;
}

export interface BooksCheck {
  /** How many equations were checked: none checked is nothing shown. */
  readonly equations: number;
  /** At most 20. */
  readonly drifts: readonly Drift[];
}

/** Recomputes every balance from the entries, in one snapshot. */
export async function checkBooks(db: Queryable): Promise<BooksCheck> {
  const { rows } = await db.query<{ equations: number; drifts: Drift[] | null }>(
    `WITH books AS MATERIALIZED (SELECT * FROM freeside.conservation_full)
     SELECT (SELECT count(*)::int FROM books) AS equations,
       (SELECT json_agg(json_build_object('communityId', d.community_id, 'equation', d.equation,
                                          'driftMicro', d.drift_micro::text))
          FROM (SELECT * FROM books WHERE drift_micro <> 0 LIMIT 20) d) AS drifts`,
  );
  return { equations: rows[0]?.equations ?? 0, drifts: rows[0]?.drifts ?? [] };
}

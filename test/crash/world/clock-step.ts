import type pg from 'pg';

/**
 * Ages every open hold by that many minutes, as if the database's clock had jumped while requests
 * are in flight: the jobs that give back orphans and settle quiet streams then race with the
 * settlements of live requests. Also what replaces waiting for their deadlines of two and five
 * minutes. Returns how many holds it aged.
 */
export async function stepClock(db: pg.Pool, minutes: number): Promise<number> {
  const { rowCount } = await db.query(
    `UPDATE freeside.budget_reservations
        SET created_at = created_at - make_interval(mins => $1),
            progress_at = progress_at - make_interval(mins => $1)
      WHERE status IN ('reserved', 'streaming')`,
    [minutes],
  );
  return rowCount ?? 0;
}

import { createPool } from '@arrakis/postgres';
import type { Pool } from 'pg';

/** Communities of their own for each load, so that no round inherits another's hot rows. */
const OPEN_COMMUNITIES = `
  WITH opened AS (
    INSERT INTO freeside.communities (id, slug, name, tier)
    SELECT c, 'bench-' || left(c::text, 13), 'Bench', 'pro' FROM unnest($1::uuid[]) c RETURNING id
  )
  INSERT INTO freeside.community_members (id, community_id, display_name)
  SELECT id, id, 'b' FROM opened`;

/** One for each community that is named. */
const OPEN_PAYMENTS = `
  SELECT p.id FROM unnest($1::uuid[]) c
  CROSS JOIN LATERAL
    freeside.create_payment(gen_random_uuid(), c, c, gen_random_uuid()::text, 'standard') p`;

/** A community may have twenty payments of an hour of which nothing was heard. */
const AGE_PAYMENTS = `
  UPDATE freeside.crypto_payments SET created_at = created_at - interval '1 hour' WHERE id = ANY ($1)`;
const OPENED_AT_ONCE = 20;

/** @returns ids of new payments of new communities, in turns. */
export async function openPayments(
  migratorUrl: string,
  communities: number,
  payments: number,
): Promise<string[]> {
  return withOwner(migratorUrl, async (owner) => {
    const ids = Array.from({ length: communities }, () => crypto.randomUUID());
    await owner.query(OPEN_COMMUNITIES, [ids]);
    const buyers = Array.from({ length: payments }, (_, n) => ids[n % ids.length]);
    const opened: string[] = [];
    while (opened.length < payments) {
      const next = buyers.slice(opened.length, opened.length + OPENED_AT_ONCE);
      const { rows } = await owner.query<{ id: string }>(OPEN_PAYMENTS, [next]);
      const batch = rows.map(({ id }) => id);
      await owner.query(AGE_PAYMENTS, [batch]);
      opened.push(...batch);
    }
    return opened;
  });
}

/** How many of them are credited. @throws Error when the books don't balance. */
export async function countCredited(
  migratorUrl: string,
  payments: readonly string[],
): Promise<number> {
  return withOwner(migratorUrl, async (owner) => {
    const drifts = await owner.query(
      'SELECT equation FROM freeside.conservation_quick WHERE drift_micro <> 0',
    );
    if (drifts.rows.length > 0) throw new Error('the books do not balance');
    const { rows } = await owner.query<{ n: number }>(
      `SELECT count(*)::int AS n FROM freeside.crypto_payments
       WHERE id = ANY ($1) AND credits_minted_at IS NOT NULL`,
      [payments],
    );
    return rows[0]?.n ?? 0;
  });
}

async function withOwner<T>(url: string, use: (owner: Pool) => Promise<T>): Promise<T> {
  const owner = createPool({ url, max: 1, applicationName: 'bench', onError: () => undefined });
  try {
    return await use(owner);
  } finally {
    await owner.end();
  }
}

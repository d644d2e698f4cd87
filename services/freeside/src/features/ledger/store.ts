import type { Micro } from '@arrakis/money';
import type { Queryable } from '@arrakis/postgres';
import type { Balance, Equation, Receipt } from './billing.domain.ts';

interface BalanceRow {
  available: bigint;
  held: bigint;
  spent: bigint;
  expired: bigint;
  minted: bigint;
  refunded: bigint;
  debt: bigint;
  lots: {
    id: string;
    source: string;
    original: string;
    remaining: string;
    expires: string | null;
    created: string;
  }[];
}

/** One statement, so one snapshot: the lots agree with the balances. */
export async function readBalance(
  db: Queryable,
  communityId: string,
): Promise<Balance | undefined> {
  const { rows } = await db.query<BalanceRow>(
    `SELECT max(balance_micro) FILTER (WHERE kind = 'available') AS available,
            max(balance_micro) FILTER (WHERE kind = 'held') AS held,
            max(balance_micro) FILTER (WHERE kind = 'spent') AS spent,
            max(balance_micro) FILTER (WHERE kind = 'expired') AS expired,
            -(sum(balance_micro) FILTER (WHERE kind IN ('minted', 'crypto_receipts', 'bonus')))::bigint AS minted,
            COALESCE(max(balance_micro) FILTER (WHERE kind = 'refunded'), 0) AS refunded,
            (SELECT COALESCE(sum(d.amount_micro - d.paid_micro), 0)::bigint
             FROM freeside.community_debts d WHERE d.community_id = $1) AS debt,
            (SELECT COALESCE(jsonb_agg(jsonb_build_object(
                'id', l.id, 'source', l.source, 'original', l.original_micro::text,
                'remaining', l.remaining_micro::text, 'expires', l.expires_at, 'created', l.created_at)
                ORDER BY l.expires_at NULLS LAST, l.created_at, l.id), '[]')
             FROM (SELECT * FROM freeside.credit_lots WHERE community_id = $1
                   ORDER BY remaining_micro = 0, expires_at NULLS LAST, created_at LIMIT 100) l) AS lots
     FROM freeside.accounts WHERE community_id = $1 HAVING count(*) > 0`,
    [communityId],
  );
  const row = rows[0];
  if (row === undefined) return undefined;
  return {
    availableMicro: row.available,
    heldMicro: row.held,
    spentMicro: row.spent,
    expiredMicro: row.expired,
    mintedMicro: row.minted,
    refundedMicro: row.refunded,
    debtMicro: row.debt,
    lots: row.lots.map((lot) => ({
      id: lot.id,
      source: lot.source,
      originalMicro: BigInt(lot.original),
      remainingMicro: BigInt(lot.remaining),
      expiresAt: lot.expires === null ? null : new Date(lot.expires),
      createdAt: new Date(lot.created),
    })),
  };
}

interface ReceiptRow {
  id: string;
  status: string;
  nft_id: string;
  pool: string;
  pool_used: string | null;
  model: string | null;
  personality_id: string | null;
  price_version: number;
  hold_micro: bigint;
  charge_micro: bigint;
  written_off_micro: bigint;
  prompt_tokens: number | null;
  completion_tokens: number | null;
  settled_by: string | null;
  corrected: boolean;
  created_at: Date;
  settled_at: Date | null;
}

/** The newest correction stands where there is one; another community's reservation is not found. */
export async function readReceipt(
  db: Queryable,
  communityId: string,
  requestId: string,
): Promise<Receipt | undefined> {
  const { rows } = await db.query<ReceiptRow>(
    `SELECT r.id, r.status, r.nft_id, r.pool, COALESCE(c.pool_used, e.pool_used) AS pool_used, e.model,
            e.personality_id, r.price_version, r.hold_micro, r.charge_micro,
            COALESCE(e.written_off_micro, 0) + COALESCE(w.written_off, 0)::bigint AS written_off_micro,
            COALESCE(c.prompt_tokens, e.prompt_tokens) AS prompt_tokens,
            COALESCE(c.completion_tokens, e.completion_tokens) AS completion_tokens,
            r.settled_by, c.id IS NOT NULL AS corrected, r.created_at,
            COALESCE(c.created_at, e.created_at, r.finalized_at, r.released_at) AS settled_at
     FROM freeside.budget_reservations r
     LEFT JOIN freeside.spend_events e ON e.budget_reservation_id = r.id
     LEFT JOIN LATERAL (SELECT * FROM freeside.spend_corrections x
                        WHERE x.budget_reservation_id = r.id ORDER BY x.id DESC LIMIT 1) c ON true
     LEFT JOIN LATERAL (SELECT sum(x.written_off_micro) AS written_off FROM freeside.spend_corrections x
                        WHERE x.budget_reservation_id = r.id) w ON true
     WHERE r.id = $1 AND r.community_id = $2`,
    [requestId, communityId],
  );
  const row = rows[0];
  if (row === undefined) return undefined;
  return {
    requestId: row.id,
    status: row.status,
    nftId: row.nft_id,
    pool: row.pool,
    poolUsed: row.pool_used,
    model: row.model,
    personalityId: row.personality_id,
    priceVersion: row.price_version,
    holdMicro: row.hold_micro,
    chargeMicro: row.charge_micro,
    writtenOffMicro: row.written_off_micro,
    promptTokens: row.prompt_tokens,
    completionTokens: row.completion_tokens,
    settledBy: row.settled_by,
    corrected: row.corrected,
    createdAt: row.created_at,
    settledAt: row.settled_at,
  };
}

interface MintRow {
  lot_id: string;
  minted: boolean;
}

/** @throws pg's DatabaseError 23505 when `sourceRef` minted another amount or community before. */
export async function mintLot(
  db: Queryable,
  lot: {
    readonly communityId: string;
    readonly amountMicro: Micro;
    readonly source: 'seed' | 'grant' | 'purchase';
    readonly sourceRef: string;
    readonly expiresAt: Date | null;
  },
): Promise<{ lotId: string; minted: boolean }> {
  const { rows } = await db.query<MintRow>(
    'SELECT lot_id, minted FROM freeside.mint_lot($1, $2, $3, $4, $5)',
    [lot.communityId, lot.amountMicro, lot.source, lot.sourceRef, lot.expiresAt],
  );
  const row = rows[0];
  if (row === undefined) throw new Error('mint_lot returned no row');
  return { lotId: row.lot_id, minted: row.minted };
}

/** Returns how many lots lost something. */
export async function expireLots(db: Queryable, atMost: number): Promise<number> {
  const { rowCount } = await db.query('SELECT lot_id FROM freeside.expire_lots($1)', [atMost]);
  return rowCount ?? 0;
}

/** Equations of the books that don't hold; empty when all is well. */
export async function findDrift(db: Queryable, depth: 'quick' | 'full'): Promise<Equation[]> {
  const text =
    depth === 'quick'
      ? `SELECT community_id, equation, drift_micro::text AS drift FROM freeside.conservation_quick WHERE drift_micro <> 0`
      : `SELECT community_id, equation, drift_micro::text AS drift FROM freeside.conservation_full WHERE drift_micro <> 0`;
  const { rows } = await db.query<{ community_id: string; equation: string; drift: string }>(text);
  return rows.map((row) => ({
    communityId: row.community_id,
    equation: row.equation,
    driftMicro: BigInt(row.drift),
  }));
}

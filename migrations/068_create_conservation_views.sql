-- Why: anyone may check the books. Each row is one equation of one community, with both sides; the
-- books are right when no row has a drift. The quick view reads balances, open holds and open lots
-- only; the full one recomputes every balance from the entries. Each is one statement, so one
-- snapshot: it may be asked under load. Lock: none. Not breaking.

-- Up Migration
SET LOCAL lock_timeout = '5s';

CREATE VIEW freeside.conservation_quick AS
WITH balances AS (
  SELECT a.community_id,
    sum(a.balance_micro) AS total,
    sum(a.balance_micro) FILTER (WHERE a.kind = 'held') AS held,
    sum(a.balance_micro) FILTER (WHERE a.kind IN ('available', 'held')) AS unspent
  FROM freeside.accounts a GROUP BY a.community_id
), holds AS (
  SELECT b.community_id, sum(b.hold_micro) AS open FROM freeside.budget_reservations b
  WHERE b.status IN ('reserved', 'streaming') GROUP BY b.community_id
), lots AS (
  SELECT l.community_id, sum(l.remaining_micro) AS remaining FROM freeside.credit_lots l
  WHERE l.remaining_micro > 0 GROUP BY l.community_id
)
SELECT b.community_id, e.equation, e.expected_micro::numeric, e.actual_micro::numeric,
  (e.actual_micro - e.expected_micro)::numeric AS drift_micro
FROM balances b
LEFT JOIN holds h ON h.community_id = b.community_id
LEFT JOIN lots l ON l.community_id = b.community_id
CROSS JOIN LATERAL (VALUES
  ('accounts sum to zero', 0, b.total),
  ('held = open holds', COALESCE(h.open, 0), b.held),
  ('available + held = lots remaining', COALESCE(l.remaining, 0), b.unspent)
) AS e (equation, expected_micro, actual_micro);

CREATE VIEW freeside.conservation_full AS
SELECT q.community_id, q.equation, q.expected_micro, q.actual_micro, q.drift_micro FROM freeside.conservation_quick q
UNION ALL
SELECT a.community_id, 'balance of ' || a.kind || ' = its entries', COALESCE(e.net, 0), a.balance_micro,
  a.balance_micro - COALESCE(e.net, 0)
FROM freeside.accounts a
LEFT JOIN (
  SELECT m.account_id, sum(m.amount) AS net
  FROM freeside.ledger_entries le
  CROSS JOIN LATERAL (VALUES (le.from_account_id, -le.amount_micro), (le.to_account_id, le.amount_micro)) AS m (account_id, amount)
  GROUP BY m.account_id
) e ON e.account_id = a.id
UNION ALL
SELECT a.community_id, 'minted = lots', COALESCE(l.original, 0), -a.balance_micro, -a.balance_micro - COALESCE(l.original, 0)
FROM freeside.accounts a
LEFT JOIN (SELECT c.community_id, sum(c.original_micro) AS original FROM freeside.credit_lots c GROUP BY 1) l
  ON l.community_id = a.community_id
WHERE a.kind = 'minted'
UNION ALL
SELECT a.community_id, 'spent = charges of reservations', COALESCE(r.charged, 0), a.balance_micro,
  a.balance_micro - COALESCE(r.charged, 0)
FROM freeside.accounts a
LEFT JOIN (SELECT b.community_id, sum(b.charge_micro) AS charged FROM freeside.budget_reservations b GROUP BY 1) r
  ON r.community_id = a.community_id
WHERE a.kind = 'spent'
UNION ALL
SELECT a.community_id, 'spent = spend events and corrections', COALESCE(s.charged, 0) + COALESCE(c.corrected, 0), a.balance_micro,
  a.balance_micro - COALESCE(s.charged, 0) - COALESCE(c.corrected, 0)
FROM freeside.accounts a
LEFT JOIN (SELECT e.community_id, sum(e.charge_micro) AS charged FROM freeside.spend_events e GROUP BY 1) s
  ON s.community_id = a.community_id
LEFT JOIN (SELECT e.community_id, sum(e.charge_micro - e.previous_charge_micro) AS corrected
           FROM freeside.spend_corrections e GROUP BY 1) c ON c.community_id = a.community_id
WHERE a.kind = 'spent'
UNION ALL
SELECT l.community_id, 'lot ' || l.id || ' = its allocations and adjustments',
  l.original_micro - COALESCE(al.amount, 0) + COALESCE(ad.amount, 0), l.remaining_micro,
  l.remaining_micro - (l.original_micro - COALESCE(al.amount, 0) + COALESCE(ad.amount, 0))
FROM freeside.credit_lots l
LEFT JOIN (SELECT x.lot_id, sum(x.amount_micro) AS amount FROM freeside.credit_lot_allocations x GROUP BY 1) al ON al.lot_id = l.id
LEFT JOIN (SELECT x.lot_id, sum(x.amount_micro) AS amount FROM freeside.credit_lot_adjustments x GROUP BY 1) ad ON ad.lot_id = l.id;

GRANT SELECT ON freeside.conservation_quick, freeside.conservation_full TO freeside_app;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA freeside FROM PUBLIC;
GRANT EXECUTE ON FUNCTION
  freeside.mint_lot(uuid, bigint, text, text, timestamptz),
  freeside.settle_reservations(uuid[], text[], text[], integer[], integer[], text[], text[], text[], integer[]),
  freeside.apply_ledger_batch(uuid[], text[], text[], integer[], integer[], text[], text[], text[], integer[], uuid[], uuid[], uuid[], text[], text[], integer[], integer[]),
  freeside.expire_lots(integer)
TO freeside_app;

-- Down Migration
SET LOCAL lock_timeout = '5s';
DROP VIEW freeside.conservation_full;
DROP VIEW freeside.conservation_quick;

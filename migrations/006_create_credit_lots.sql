-- Why: a purchase is a lot; a charge consumes lots first-expiring-first, and which lot paid for what
-- is written down. Lots agree with accounts: sum(remaining) = available + held.
-- Lock: new tables only. Not breaking.

-- Up Migration
SET LOCAL lock_timeout = '5s';

CREATE TABLE freeside.credit_lots (
  id              uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  community_id    uuid NOT NULL REFERENCES freeside.communities (id),
  source          text NOT NULL CHECK (source IN ('seed', 'grant', 'purchase')),
  -- What minted it, once: a payment's mint event, a seed's name.
  source_ref      text NOT NULL UNIQUE CHECK (char_length(source_ref) BETWEEN 1 AND 200),
  original_micro  bigint NOT NULL CHECK (original_micro > 0),
  remaining_micro bigint NOT NULL CHECK (remaining_micro BETWEEN 0 AND original_micro),
  expires_at      timestamptz,
  created_at      timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 70);
CREATE INDEX credit_lots_open ON freeside.credit_lots (community_id, expires_at NULLS LAST, created_at, id)
  WHERE remaining_micro > 0;
CREATE INDEX credit_lots_by_community ON freeside.credit_lots (community_id);

CREATE TABLE freeside.credit_lot_allocations (
  reservation_id uuid NOT NULL,
  lot_id         uuid NOT NULL,
  amount_micro   bigint NOT NULL CHECK (amount_micro > 0),
  created_at     timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (reservation_id, lot_id)
);
CREATE INDEX credit_lot_allocations_by_lot ON freeside.credit_lot_allocations (lot_id);

-- Compensations; the originals stay as they are. Positive gives back to the lot.
CREATE TABLE freeside.credit_lot_adjustments (
  id             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  lot_id         uuid NOT NULL REFERENCES freeside.credit_lots (id),
  community_id   uuid NOT NULL,
  reservation_id uuid,
  amount_micro   bigint NOT NULL CHECK (amount_micro <> 0),
  reason         text NOT NULL CHECK (reason IN ('usage_correction', 'expiry', 'refund')),
  created_at     timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX credit_lot_adjustments_by_lot ON freeside.credit_lot_adjustments (lot_id);
CREATE INDEX credit_lot_adjustments_by_reservation ON freeside.credit_lot_adjustments (reservation_id)
  WHERE reservation_id IS NOT NULL;

CREATE TRIGGER credit_lot_allocations_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON freeside.credit_lot_allocations
  FOR EACH STATEMENT EXECUTE FUNCTION freeside.refuse_change();
CREATE TRIGGER credit_lot_adjustments_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON freeside.credit_lot_adjustments
  FOR EACH STATEMENT EXECUTE FUNCTION freeside.refuse_change();
CREATE TRIGGER credit_lots_never_removed BEFORE DELETE OR TRUNCATE ON freeside.credit_lots
  FOR EACH STATEMENT EXECUTE FUNCTION freeside.refuse_change();

GRANT SELECT ON freeside.credit_lots, freeside.credit_lot_allocations, freeside.credit_lot_adjustments TO freeside_app;

-- Down Migration
SET LOCAL lock_timeout = '5s';
DROP TABLE freeside.credit_lot_adjustments;
DROP TABLE freeside.credit_lot_allocations;
DROP TABLE freeside.credit_lots;

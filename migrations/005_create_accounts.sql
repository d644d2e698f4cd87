-- Why: the books. Every community has seven accounts; an entry moves an amount from one to another,
-- so a single row is always balanced and the accounts of a community always sum to zero.
-- Balances are carried so that a decision reads one row; the constraint is the last line of defence.
-- freeside_app may only read: it writes through the functions of 066. Lock: new tables only.

-- Up Migration
SET LOCAL lock_timeout = '5s';

CREATE TABLE freeside.accounts (
  id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  community_id  uuid NOT NULL REFERENCES freeside.communities (id),
  -- minted, absorbed: where credits come from (a purchase; the platform's own pocket), below zero
  -- available, held, spent, expired, written_off: where they are, never below zero
  kind          text NOT NULL,
  balance_micro bigint NOT NULL DEFAULT 0,
  UNIQUE (community_id, kind),
  CONSTRAINT accounts_kind CHECK (kind IN
    ('minted', 'absorbed', 'available', 'held', 'spent', 'expired', 'written_off')),
  CONSTRAINT accounts_balance_sign CHECK (
    CASE WHEN kind IN ('minted', 'absorbed') THEN balance_micro <= 0 ELSE balance_micro >= 0 END)
) WITH (fillfactor = 50);

CREATE TABLE freeside.ledger_entries (
  id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  community_id    uuid NOT NULL,
  from_account_id bigint NOT NULL,
  to_account_id   bigint NOT NULL,
  amount_micro    bigint NOT NULL CHECK (amount_micro > 0),
  kind            text NOT NULL CHECK (kind IN
    ('mint', 'hold', 'capture', 'release', 'late_capture', 'write_off', 'correction', 'expiry')),
  reservation_id  uuid,
  lot_id          uuid,
  created_at      timestamptz NOT NULL DEFAULT now(),
  CHECK (from_account_id <> to_account_id)
);
CREATE INDEX ledger_entries_by_community ON freeside.ledger_entries (community_id, id);
CREATE INDEX ledger_entries_by_reservation ON freeside.ledger_entries (reservation_id) WHERE reservation_id IS NOT NULL;

CREATE TRIGGER ledger_entries_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON freeside.ledger_entries
  FOR EACH STATEMENT EXECUTE FUNCTION freeside.refuse_change();

CREATE FUNCTION freeside.open_accounts() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
BEGIN
  INSERT INTO freeside.accounts (community_id, kind)
  SELECT NEW.id, kind
  FROM unnest(ARRAY['minted', 'absorbed', 'available', 'held', 'spent', 'expired', 'written_off']) AS kind;
  RETURN NEW;
END
$$;
CREATE TRIGGER communities_open_accounts AFTER INSERT ON freeside.communities
  FOR EACH ROW EXECUTE FUNCTION freeside.open_accounts();

-- Communities that were there before this migration.
INSERT INTO freeside.accounts (community_id, kind)
SELECT c.id, kind
FROM freeside.communities c
CROSS JOIN unnest(ARRAY['minted', 'absorbed', 'available', 'held', 'spent', 'expired', 'written_off']) AS kind;

GRANT SELECT ON freeside.accounts, freeside.ledger_entries TO freeside_app;

-- Down Migration
SET LOCAL lock_timeout = '5s';
DROP TRIGGER communities_open_accounts ON freeside.communities;
DROP FUNCTION freeside.open_accounts();
DROP TABLE freeside.ledger_entries;
DROP TABLE freeside.accounts;

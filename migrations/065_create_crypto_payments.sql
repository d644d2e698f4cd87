-- Why: credits are bought with crypto through NOWPayments. A payment binds what was agreed (pack, price,
-- credits) to what the vendor says of it; every word of the vendor is kept, redacted, so that it can be
-- told again; what cannot be decided waits as a review; what was refunded after it had been spent is a
-- debt. The functions that write all this are in 073, because they stand on those of 066 to 070.
-- Lock: new tables only. Not breaking.

-- Up Migration
SET LOCAL lock_timeout = '5s';

-- Packs never change: a new version is added with the moment from which it counts.
CREATE TABLE freeside.credit_pack_versions (
  version      integer PRIMARY KEY CHECK (version >= 1),
  effective_at timestamptz NOT NULL,
  created_at   timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE freeside.credit_packs (
  version       integer NOT NULL REFERENCES freeside.credit_pack_versions (version),
  id            text NOT NULL CHECK (id ~ '^[a-z][a-z0-9-]{0,30}$'),
  name          text NOT NULL CHECK (char_length(name) BETWEEN 1 AND 60),
  -- In micro-dollars; five dollars are the least that the vendor's fees leave anything of.
  price_micro   bigint NOT NULL CHECK (price_micro >= 5000000),
  credits_micro bigint NOT NULL CHECK (credits_micro > 0),
  bonus_micro   bigint NOT NULL CHECK (bonus_micro >= 0),
  PRIMARY KEY (version, id)
);

INSERT INTO freeside.credit_pack_versions (version, effective_at) VALUES (1, '2026-01-01T00:00:00Z');
INSERT INTO freeside.credit_packs (version, id, name, price_micro, credits_micro, bonus_micro) VALUES
  (1, 'starter',  'Starter',   5000000,  5000000,       0),
  (1, 'standard', 'Standard', 10000000, 10000000,  500000),
  (1, 'premium',  'Premium',  25000000, 25000000, 2500000);

-- The table of payment-state.domain.ts; a test compares the two.
CREATE TABLE freeside.payment_statuses (
  status      text PRIMARY KEY,
  status_rank smallint NOT NULL CHECK (status_rank >= 0),
  UNIQUE (status, status_rank)
);
CREATE TABLE freeside.payment_transitions (
  from_status text NOT NULL REFERENCES freeside.payment_statuses (status),
  to_status   text NOT NULL REFERENCES freeside.payment_statuses (status),
  PRIMARY KEY (from_status, to_status)
);
INSERT INTO freeside.payment_statuses (status, status_rank) VALUES
  ('waiting', 0), ('confirming', 1), ('confirmed', 2), ('sending', 3), ('partially_paid', 4),
  ('finished', 5), ('failed', 5), ('expired', 5), ('refunded', 6);
INSERT INTO freeside.payment_transitions (from_status, to_status)
SELECT f.status, t.status
FROM freeside.payment_statuses f JOIN freeside.payment_statuses t ON t.status_rank > f.status_rank
WHERE f.status_rank < 5 AND t.status <> 'refunded'
UNION ALL VALUES ('finished', 'refunded');

CREATE TABLE freeside.crypto_payments (
  -- Our id, which the vendor knows as order_id.
  id                    uuid PRIMARY KEY,
  community_id          uuid NOT NULL REFERENCES freeside.communities (id),
  user_id               uuid NOT NULL REFERENCES freeside.community_members (id),
  idempotency_key       text NOT NULL CHECK (char_length(idempotency_key) BETWEEN 1 AND 200),
  pack_version          integer NOT NULL,
  pack_id               text NOT NULL,
  -- As agreed; copied, so that a row tells its own story.
  price_micro           bigint NOT NULL CHECK (price_micro > 0),
  credits_micro         bigint NOT NULL CHECK (credits_micro > 0),
  bonus_micro           bigint NOT NULL CHECK (bonus_micro >= 0),
  -- Set when somebody paid once more into the address of that payment and an operator credited it.
  repeats_payment_id    uuid REFERENCES freeside.crypto_payments (id),
  invoice_id            text UNIQUE,
  checkout_url          text CHECK (char_length(checkout_url) <= 1000),
  -- The vendor's number, known from its first report on.
  payment_id            text UNIQUE CHECK (payment_id ~ '^[0-9]{1,20}$'),
  pay_currency          text,
  status                text NOT NULL DEFAULT 'waiting',
  status_rank           smallint NOT NULL DEFAULT 0,
  -- Of the vendor's clock: reports that are no newer change nothing.
  last_seen_updated_at  timestamptz,
  credits_minted_at     timestamptz,
  credits_mint_event_id text UNIQUE,
  lot_id                uuid UNIQUE REFERENCES freeside.credit_lots (id),
  credits_refunded_at   timestamptz,
  -- Counts the changes: who decided on an older one decides again.
  version               integer NOT NULL DEFAULT 1,
  created_at            timestamptz NOT NULL DEFAULT now(),
  updated_at            timestamptz NOT NULL DEFAULT now(),
  FOREIGN KEY (pack_version, pack_id) REFERENCES freeside.credit_packs (version, id),
  FOREIGN KEY (status, status_rank) REFERENCES freeside.payment_statuses (status, status_rank),
  UNIQUE (community_id, idempotency_key),
  CONSTRAINT payments_minted CHECK ((credits_minted_at IS NULL) = (credits_mint_event_id IS NULL)
    AND (credits_minted_at IS NULL) = (lot_id IS NULL)),
  CONSTRAINT payments_finished_minted CHECK (status <> 'finished' OR credits_minted_at IS NOT NULL),
  CONSTRAINT payments_refunded_minted CHECK (credits_refunded_at IS NULL OR credits_minted_at IS NOT NULL),
  CONSTRAINT payments_refunded CHECK (status <> 'refunded' OR credits_refunded_at IS NOT NULL)
) WITH (fillfactor = 70);
CREATE INDEX crypto_payments_by_community ON freeside.crypto_payments (community_id, created_at DESC, id DESC);
CREATE INDEX crypto_payments_open ON freeside.crypto_payments (created_at) WHERE status_rank < 5;

-- What the vendor said, whichever way it came, without addresses; enough to be told again.
CREATE TABLE freeside.payment_deliveries (
  id                bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  -- NULL where it binds to nothing.
  crypto_payment_id uuid REFERENCES freeside.crypto_payments (id),
  vendor_payment_id text,
  source            text NOT NULL CHECK (source IN ('webhook', 'poll', 'replay')),
  outcome           text NOT NULL CHECK (outcome IN
    ('advanced', 'bound', 'repeat', 'stale', 'superseded', 'review', 'unbound', 'malformed')),
  report            jsonb NOT NULL,
  -- SHA-256 of the body as it came.
  body_hash         bytea NOT NULL CHECK (octet_length(body_hash) = 32),
  created_at       timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX payment_deliveries_by_payment ON freeside.payment_deliveries (crypto_payment_id, id);
CREATE INDEX payment_deliveries_by_vendor_payment ON freeside.payment_deliveries (vendor_payment_id, created_at)
  WHERE source = 'webhook';

-- What no rule decides: it waits for an operator.
CREATE TABLE freeside.payment_reviews (
  id                bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  crypto_payment_id uuid NOT NULL REFERENCES freeside.crypto_payments (id),
  reason            text NOT NULL CHECK (char_length(reason) BETWEEN 1 AND 60),
  vendor_payment_id text NOT NULL,
  vendor_status     text NOT NULL,
  delivery_id       bigint NOT NULL REFERENCES freeside.payment_deliveries (id),
  opened_at         timestamptz NOT NULL DEFAULT now(),
  resolution        text CHECK (resolution IN ('mint', 'ignore', 'refund')),
  resolved_by       text CHECK (char_length(resolved_by) BETWEEN 1 AND 120),
  resolved_reason   text CHECK (char_length(resolved_reason) BETWEEN 1 AND 1000),
  resolved_at       timestamptz,
  -- The same word said again is the same case.
  UNIQUE (crypto_payment_id, reason, vendor_payment_id, vendor_status),
  CONSTRAINT reviews_resolved CHECK ((resolution IS NULL) = (resolved_at IS NULL)
    AND (resolution IS NULL) = (resolved_by IS NULL) AND (resolution IS NULL) = (resolved_reason IS NULL))
);
CREATE INDEX payment_reviews_open ON freeside.payment_reviews (opened_at) WHERE resolved_at IS NULL;

-- What was refunded but had been spent; later purchases pay it first.
CREATE TABLE freeside.community_debts (
  id                bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  community_id      uuid NOT NULL REFERENCES freeside.communities (id),
  crypto_payment_id uuid NOT NULL UNIQUE REFERENCES freeside.crypto_payments (id),
  amount_micro      bigint NOT NULL CHECK (amount_micro > 0),
  paid_micro        bigint NOT NULL DEFAULT 0 CHECK (paid_micro BETWEEN 0 AND amount_micro),
  created_at        timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX community_debts_open ON freeside.community_debts (community_id, id) WHERE paid_micro < amount_micro;

-- Everything that happened to a payment, and who did it.
CREATE TABLE freeside.payment_events (
  id                bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  crypto_payment_id uuid NOT NULL REFERENCES freeside.crypto_payments (id),
  kind              text NOT NULL CHECK (kind IN ('created', 'invoiced', 'bound', 'advanced', 'minted', 'refunded',
    'indebted', 'debt_paid', 'review_opened', 'review_resolved')),
  from_status       text,
  to_status         text,
  amount_micro      bigint,
  -- webhook, poll, replay; api for the customer; operator for a named person.
  source            text NOT NULL CHECK (source IN ('api', 'webhook', 'poll', 'replay', 'operator')),
  operator          text,
  reason            text,
  delivery_id       bigint,
  created_at        timestamptz NOT NULL DEFAULT now(),
  CHECK ((source = 'operator') = (operator IS NOT NULL))
);
CREATE INDEX payment_events_by_payment ON freeside.payment_events (crypto_payment_id, id);

CREATE TRIGGER credit_pack_versions_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON freeside.credit_pack_versions
  FOR EACH STATEMENT EXECUTE FUNCTION freeside.refuse_change();
CREATE TRIGGER credit_packs_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON freeside.credit_packs
  FOR EACH STATEMENT EXECUTE FUNCTION freeside.refuse_change();
CREATE TRIGGER payment_deliveries_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON freeside.payment_deliveries
  FOR EACH STATEMENT EXECUTE FUNCTION freeside.refuse_change();
CREATE TRIGGER payment_events_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON freeside.payment_events
  FOR EACH STATEMENT EXECUTE FUNCTION freeside.refuse_change();
CREATE TRIGGER crypto_payments_never_removed BEFORE DELETE OR TRUNCATE ON freeside.crypto_payments
  FOR EACH STATEMENT EXECUTE FUNCTION freeside.refuse_change();
CREATE TRIGGER payment_reviews_never_removed BEFORE DELETE OR TRUNCATE ON freeside.payment_reviews
  FOR EACH STATEMENT EXECUTE FUNCTION freeside.refuse_change();
CREATE TRIGGER community_debts_never_removed BEFORE DELETE OR TRUNCATE ON freeside.community_debts
  FOR EACH STATEMENT EXECUTE FUNCTION freeside.refuse_change();

GRANT SELECT ON freeside.credit_pack_versions, freeside.credit_packs, freeside.payment_statuses,
  freeside.payment_transitions, freeside.crypto_payments, freeside.payment_deliveries, freeside.payment_reviews,
  freeside.community_debts, freeside.payment_events TO freeside_app;

-- Down Migration
SET LOCAL lock_timeout = '5s';
DROP TABLE freeside.payment_events;
DROP TABLE freeside.community_debts;
DROP TABLE freeside.payment_reviews;
DROP TABLE freeside.payment_deliveries;
DROP TABLE freeside.crypto_payments;
DROP TABLE freeside.payment_transitions;
DROP TABLE freeside.payment_statuses;
DROP TABLE freeside.credit_packs;
DROP TABLE freeside.credit_pack_versions;

-- Why: a hold from before dispatch to exactly one terminal state, and what it cost in the end.
-- Lock: new tables only. Not breaking.

-- Up Migration
SET LOCAL lock_timeout = '5s';

CREATE TABLE freeside.budget_reservations (
  -- The request id.
  id                        uuid PRIMARY KEY,
  community_id              uuid NOT NULL REFERENCES freeside.communities (id),
  api_key_id                uuid NOT NULL REFERENCES freeside.api_keys (id),
  nft_id                    text NOT NULL,
  pool                      text NOT NULL,
  price_version             integer NOT NULL,
  -- Worst cases; hold_tokens is what counts against the key's daily limit, on limit_day (UTC).
  prompt_tokens             integer NOT NULL CHECK (prompt_tokens >= 0),
  max_tokens                integer NOT NULL CHECK (max_tokens > 0),
  hold_micro                bigint NOT NULL CHECK (hold_micro > 0),
  limit_day                 date NOT NULL,
  status                    text NOT NULL DEFAULT 'reserved' CHECK (status IN
    ('reserved', 'streaming', 'finalized', 'released', 'orphan_released')),
  -- What the relay passed on, for the case that no final count arrives.
  relayed_prompt_tokens     integer NOT NULL DEFAULT 0 CHECK (relayed_prompt_tokens >= 0),
  relayed_completion_tokens integer NOT NULL DEFAULT 0 CHECK (relayed_completion_tokens >= 0),
  relayed_pool              text,
  progress_at               timestamptz,
  -- Set once, to the reservation's own id.
  finalization_id           uuid UNIQUE CHECK (finalization_id = id),
  finalized_at              timestamptz,
  released_at               timestamptz,
  -- The carrier whose count stands; a correction replaces it by one of higher authority.
  settled_by                text CHECK (settled_by IN
    ('done_event', 'response_header', 'usage_event', 'journal', 'reconciliation', 'not_delivered')),
  charge_micro              bigint NOT NULL DEFAULT 0 CHECK (charge_micro BETWEEN 0 AND hold_micro),
  created_at                timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT reservations_finalized CHECK ((status = 'finalized') = (finalized_at IS NOT NULL)
    AND (finalized_at IS NULL) = (finalization_id IS NULL)),
  CONSTRAINT reservations_released CHECK
    ((status IN ('released', 'orphan_released')) = (released_at IS NOT NULL)),
  CONSTRAINT reservations_open_uncharged CHECK
    (status IN ('finalized', 'orphan_released') OR charge_micro = 0)
) WITH (fillfactor = 60);
CREATE INDEX budget_reservations_open ON freeside.budget_reservations (created_at)
  WHERE status IN ('reserved', 'streaming');
CREATE INDEX budget_reservations_by_community ON freeside.budget_reservations (community_id, created_at);

CREATE TABLE freeside.spend_events (
  id                    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  budget_reservation_id uuid NOT NULL UNIQUE REFERENCES freeside.budget_reservations (id),
  community_id          uuid NOT NULL,
  kind                  text NOT NULL CHECK (kind IN ('capture', 'late_capture')),
  carrier               text NOT NULL,
  pool_used             text NOT NULL,
  model                 text,
  personality_id        text,
  price_version         integer NOT NULL,
  prompt_tokens         integer NOT NULL CHECK (prompt_tokens >= 0),
  completion_tokens     integer NOT NULL CHECK (completion_tokens >= 0),
  -- What the community paid, and what the platform wrote off because the balance didn't cover it.
  charge_micro          bigint NOT NULL CHECK (charge_micro >= 0),
  written_off_micro     bigint NOT NULL DEFAULT 0 CHECK (written_off_micro >= 0),
  latency_ms            integer,
  created_at            timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX spend_events_by_community ON freeside.spend_events (community_id, created_at);

-- A later count of higher authority; the spend event stays as it was.
CREATE TABLE freeside.spend_corrections (
  id                    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  budget_reservation_id uuid NOT NULL REFERENCES freeside.budget_reservations (id),
  community_id          uuid NOT NULL,
  carrier               text NOT NULL,
  prompt_tokens         integer NOT NULL CHECK (prompt_tokens >= 0),
  completion_tokens     integer NOT NULL CHECK (completion_tokens >= 0),
  pool_used             text,
  previous_charge_micro bigint NOT NULL CHECK (previous_charge_micro >= 0),
  charge_micro          bigint NOT NULL CHECK (charge_micro >= 0),
  written_off_micro     bigint NOT NULL DEFAULT 0 CHECK (written_off_micro >= 0),
  created_at            timestamptz NOT NULL DEFAULT now(),
  UNIQUE (budget_reservation_id, carrier)
);

CREATE TRIGGER spend_events_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON freeside.spend_events
  FOR EACH STATEMENT EXECUTE FUNCTION freeside.refuse_change();
CREATE TRIGGER spend_corrections_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON freeside.spend_corrections
  FOR EACH STATEMENT EXECUTE FUNCTION freeside.refuse_change();
CREATE TRIGGER budget_reservations_never_removed BEFORE DELETE OR TRUNCATE ON freeside.budget_reservations
  FOR EACH STATEMENT EXECUTE FUNCTION freeside.refuse_change();

-- The limits' counters exist from the key's first moment.
CREATE FUNCTION freeside.open_api_key_usage() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
BEGIN
  INSERT INTO freeside.api_key_usage (key_id) VALUES (NEW.id);
  RETURN NEW;
END
$$;
CREATE TRIGGER api_keys_open_usage AFTER INSERT ON freeside.api_keys
  FOR EACH ROW EXECUTE FUNCTION freeside.open_api_key_usage();
INSERT INTO freeside.api_key_usage (key_id) SELECT id FROM freeside.api_keys ON CONFLICT DO NOTHING;

GRANT SELECT ON freeside.budget_reservations, freeside.spend_events, freeside.spend_corrections TO freeside_app;

-- Down Migration
SET LOCAL lock_timeout = '5s';
DROP TRIGGER api_keys_open_usage ON freeside.api_keys;
DROP FUNCTION freeside.open_api_key_usage();
DROP TABLE freeside.spend_corrections;
DROP TABLE freeside.spend_events;
DROP TABLE freeside.budget_reservations;

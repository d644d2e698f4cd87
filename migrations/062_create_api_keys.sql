-- Why: API keys; the secret is stored only as HMAC-SHA256(pepper, salt || secret).
-- Lock: new table only. Not breaking.

-- Up Migration
SET LOCAL lock_timeout = '5s';

CREATE TABLE freeside.api_keys (
  id             uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  user_id        uuid NOT NULL REFERENCES freeside.community_members (id),
  community_id   uuid NOT NULL REFERENCES freeside.communities (id),
  key_prefix     text NOT NULL UNIQUE CHECK (key_prefix ~ '^lf_(live|test)_[a-z2-7]{12}$'),
  key_hash       bytea NOT NULL CHECK (octet_length(key_hash) = 32),
  key_salt       bytea NOT NULL CHECK (octet_length(key_salt) = 16),
  pepper_version smallint NOT NULL CHECK (pepper_version >= 1),
  name           text NOT NULL CHECK (char_length(name) BETWEEN 1 AND 120),
  scopes         text[] NOT NULL DEFAULT '{inference,read}',
  rate_limit_rpm integer NOT NULL CHECK (rate_limit_rpm >= 1),
  rate_limit_tpd bigint NOT NULL CHECK (rate_limit_tpd >= 1),
  is_active      boolean NOT NULL DEFAULT true,
  last_used_at   timestamptz,
  created_at     timestamptz NOT NULL DEFAULT now(),
  revoked_at     timestamptz,
  CHECK (is_active = (revoked_at IS NULL))
);
CREATE INDEX api_keys_by_community ON freeside.api_keys (community_id);
CREATE INDEX api_keys_active_by_user ON freeside.api_keys (user_id) WHERE is_active;

-- Counters of the two limits, one row a key, decided in the same statement as the hold. A window
-- that has passed is overwritten by the next request, so no counter outlives its meaning.
CREATE TABLE freeside.api_key_usage (
  key_id          uuid PRIMARY KEY REFERENCES freeside.api_keys (id),
  minute_started  timestamptz NOT NULL DEFAULT '-infinity',
  minute_requests integer NOT NULL DEFAULT 0 CHECK (minute_requests >= 0),
  day             date NOT NULL DEFAULT '-infinity',
  day_tokens      bigint NOT NULL DEFAULT 0 CHECK (day_tokens >= 0)
) WITH (fillfactor = 50);

GRANT SELECT, INSERT, UPDATE ON freeside.api_keys TO freeside_app;
GRANT SELECT ON freeside.api_key_usage TO freeside_app;

-- Down Migration
SET LOCAL lock_timeout = '5s';
DROP TABLE freeside.api_key_usage;
DROP TABLE freeside.api_keys;

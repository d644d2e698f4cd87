-- Why: one versioned price table. A price never changes: a new version is added with the moment
-- from which it counts, and every hold remembers the version it was made at.
-- Prices are micro-credits per million tokens. Lock: new tables only. Not breaking.

-- Up Migration
SET LOCAL lock_timeout = '5s';

CREATE TABLE freeside.price_versions (
  version      integer PRIMARY KEY CHECK (version >= 1),
  effective_at timestamptz NOT NULL,
  created_at   timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE freeside.pool_prices (
  price_version          integer NOT NULL REFERENCES freeside.price_versions (version),
  pool                   text NOT NULL CHECK (pool IN ('cheap', 'standard', 'reasoning', 'architect', 'flagship')),
  prompt_price_micro     bigint NOT NULL CHECK (prompt_price_micro BETWEEN 0 AND 1000000000),
  completion_price_micro bigint NOT NULL CHECK (completion_price_micro BETWEEN 1 AND 1000000000),
  PRIMARY KEY (price_version, pool)
);

INSERT INTO freeside.price_versions (version, effective_at) VALUES (1, '2026-01-01T00:00:00Z');
INSERT INTO freeside.pool_prices (price_version, pool, prompt_price_micro, completion_price_micro) VALUES
  (1, 'cheap',        150000,   600000),
  (1, 'standard',     400000,  1600000),
  (1, 'reasoning',   1100000,  4400000),
  (1, 'architect',   3000000, 15000000),
  (1, 'flagship',   15000000, 75000000);

CREATE TRIGGER price_versions_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON freeside.price_versions
  FOR EACH STATEMENT EXECUTE FUNCTION freeside.refuse_change();
CREATE TRIGGER pool_prices_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON freeside.pool_prices
  FOR EACH STATEMENT EXECUTE FUNCTION freeside.refuse_change();

GRANT SELECT ON freeside.price_versions, freeside.pool_prices TO freeside_app;

-- Down Migration
SET LOCAL lock_timeout = '5s';
DROP TABLE freeside.pool_prices;
DROP TABLE freeside.price_versions;

-- Why: public halves of the service-token keys, the source of truth of the JWKS endpoint.
-- Private keys are never here. Lock: new table only. Not breaking.

-- Up Migration
SET LOCAL lock_timeout = '5s';

CREATE TABLE freeside.s2s_jwks_public_keys (
  kid        text PRIMARY KEY CHECK (kid ~ '^[A-Za-z0-9_-]{1,64}$'),
  kty        text NOT NULL CHECK (kty = 'EC'),
  crv        text NOT NULL CHECK (crv = 'P-256'),
  x          text NOT NULL CHECK (x ~ '^[A-Za-z0-9_-]{43}$'),
  y          text NOT NULL CHECK (y ~ '^[A-Za-z0-9_-]{43}$'),
  -- Which service signs with it; finn binds a token's iss to it.
  issuer     text NOT NULL DEFAULT 'loa-freeside' CHECK (issuer IN ('loa-freeside', 'loa-dixie')),
  created_at timestamptz NOT NULL DEFAULT now(),
  expires_at timestamptz NOT NULL,
  CHECK (expires_at > created_at)
);

GRANT SELECT ON freeside.s2s_jwks_public_keys TO freeside_app;

-- Down Migration
SET LOCAL lock_timeout = '5s';
DROP TABLE freeside.s2s_jwks_public_keys;

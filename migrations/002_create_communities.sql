-- Why: who pays (communities) and who talks (members and their wallets).
-- Lock: new tables only. Not breaking.

-- Up Migration
SET LOCAL lock_timeout = '5s';

CREATE TABLE freeside.communities (
  id         uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  slug       text NOT NULL UNIQUE CHECK (slug ~ '^[a-z0-9][a-z0-9-]{0,62}$'),
  name       text NOT NULL CHECK (char_length(name) BETWEEN 1 AND 120),
  tier       text NOT NULL CHECK (tier IN ('free', 'standard', 'pro', 'enterprise')),
  is_active  boolean NOT NULL DEFAULT true,
  created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE freeside.community_members (
  id           uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  community_id uuid NOT NULL REFERENCES freeside.communities (id),
  display_name text NOT NULL CHECK (char_length(display_name) BETWEEN 1 AND 120),
  role         text NOT NULL DEFAULT 'member' CHECK (role IN ('member', 'developer', 'admin')),
  created_at   timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX community_members_by_community ON freeside.community_members (community_id);

CREATE TABLE freeside.member_wallets (
  member_id   uuid NOT NULL REFERENCES freeside.community_members (id),
  chain_id    bigint NOT NULL CHECK (chain_id > 0),
  address     text NOT NULL CHECK (address ~ '^0x[0-9a-f]{40}$'),
  verified_at timestamptz,
  created_at  timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (chain_id, address, member_id)
);
CREATE INDEX member_wallets_by_member ON freeside.member_wallets (member_id);

GRANT SELECT, INSERT, UPDATE ON freeside.communities, freeside.community_members, freeside.member_wallets TO freeside_app;
GRANT SELECT ON freeside.communities TO loa_finn_ro;

-- Down Migration
SET LOCAL lock_timeout = '5s';
DROP TABLE freeside.member_wallets;
DROP TABLE freeside.community_members;
DROP TABLE freeside.communities;

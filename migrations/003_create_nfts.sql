-- Why: an NFT is an agent; its metadata and its configuration make its personality. finn reads both.
-- Lock: new tables only. Not breaking.

-- Up Migration
SET LOCAL lock_timeout = '5s';

CREATE TABLE freeside.nfts (
  -- chainId:contract:tokenId
  id           text PRIMARY KEY CHECK (id ~ '^[1-9][0-9]{0,9}:0x[0-9a-f]{40}:(0|[1-9][0-9]{0,77})$'),
  community_id uuid NOT NULL REFERENCES freeside.communities (id),
  -- The short name that stands for the NFT as an OpenAI model id, unique within its community.
  slug         text NOT NULL CHECK (slug ~ '^[a-z0-9][a-z0-9-]{0,62}$'),
  tier         text NOT NULL CHECK (tier IN ('free', 'standard', 'pro', 'enterprise')),
  is_active    boolean NOT NULL DEFAULT true,
  created_at   timestamptz NOT NULL DEFAULT now(),
  UNIQUE (community_id, slug)
);

-- As the token's metadata document has it: {"name": …, "description": …, "attributes": [{trait_type, value}]}
CREATE TABLE freeside.nft_metadata (
  nft_id     text PRIMARY KEY REFERENCES freeside.nfts (id),
  metadata   jsonb NOT NULL CHECK (jsonb_typeof(metadata) = 'object'),
  fetched_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE freeside.personality_configs (
  nft_id         text PRIMARY KEY REFERENCES freeside.nfts (id),
  version        integer NOT NULL DEFAULT 1 CHECK (version >= 1),
  -- What the agent stresses, most important first.
  emphasis       text[] NOT NULL DEFAULT '{}' CHECK (cardinality(emphasis) <= 8),
  -- NULL: the tier's default pool.
  preferred_pool text CHECK (preferred_pool IN ('cheap', 'standard', 'reasoning', 'architect', 'flagship')),
  updated_at     timestamptz NOT NULL DEFAULT now()
);

GRANT SELECT, INSERT, UPDATE ON freeside.nfts, freeside.nft_metadata, freeside.personality_configs TO freeside_app;
GRANT SELECT ON freeside.nfts, freeside.nft_metadata, freeside.personality_configs TO loa_finn_ro;

-- Down Migration
SET LOCAL lock_timeout = '5s';
DROP TABLE freeside.personality_configs;
DROP TABLE freeside.nft_metadata;
DROP TABLE freeside.nfts;

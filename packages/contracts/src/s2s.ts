import { Type, type Static } from 'typebox';
import { Pool, Tier } from './tiers.ts';

/** Version of the contract between the callers of inference and finn. */
export const CONTRACT_VERSION = '1.0.0';

export const S2S_ISSUERS = ['loa-freeside', 'loa-dixie'] as const;
export type S2SIssuer = (typeof S2S_ISSUERS)[number];
export const S2S_AUDIENCE = 'loa-finn';
export const S2S_ALGORITHM = 'ES256';

/** Life of a service token, and how far the clocks of issuer and verifier may differ. */
export const S2S_TOKEN_LIFE_SECONDS = 60;
export const S2S_CLOCK_SKEW_SECONDS = 30;

export const JWKS_PATH = '/.well-known/jwks.json';
/** How long a verifier may keep the key set. */
export const JWKS_MAX_AGE_SECONDS = 300;
/** Before a published key signs: every cache refreshed, every older token expired, and a margin. */
export const KEY_PROPAGATION_SECONDS = JWKS_MAX_AGE_SECONDS + S2S_TOKEN_LIFE_SECONDS + 30;
/** How long a replaced key still verifies. */
export const KEY_OVERLAP_SECONDS = 24 * 60 * 60;

/** finn verifies a token here without running anything: the canary of a key rotation. */
export const S2S_VERIFY_PATH = '/api/v1/s2s/verify';

export const RESERVATION_ID_PATTERN =
  '^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$';
/** `chainId:contract:tokenId`; decimal ids, a lower-case contract address. */
export const NFT_ID_PATTERN = '^[1-9][0-9]{0,9}:0x[0-9a-f]{40}:(?:0|[1-9][0-9]{0,77})$';
export const KID_PATTERN = '^[A-Za-z0-9_-]{1,64}$';

/**
 * Claims of a service token. `pool` is an addition that v1.0.0 allows: the pool the hold was
 * priced at; without it the tier's default pool is meant.
 */
export const S2SClaims = Type.Object(
  {
    iss: Type.Enum(S2S_ISSUERS),
    aud: Type.Literal(S2S_AUDIENCE),
    iat: Type.Integer({ minimum: 0 }),
    exp: Type.Integer({ minimum: 0 }),
    jti: Type.String({ pattern: '^[A-Za-z0-9_-]{16,64}$' }),
    nft_id: Type.String({ pattern: NFT_ID_PATTERN }),
    tier: Tier,
    community_id: Type.String({ pattern: RESERVATION_ID_PATTERN }),
    budget_reservation_id: Type.String({ pattern: RESERVATION_ID_PATTERN }),
    pool: Type.Optional(Pool),
  },
  { additionalProperties: false },
);
export type S2SClaims = Static<typeof S2SClaims>;

/** Public half of a signing key as the JWKS endpoint serves it. */
export const PublicJwk = Type.Object({
  kty: Type.Literal('EC'),
  crv: Type.Literal('P-256'),
  x: Type.String({ pattern: '^[A-Za-z0-9_-]{43}$' }),
  y: Type.String({ pattern: '^[A-Za-z0-9_-]{43}$' }),
  kid: Type.String({ pattern: KID_PATTERN }),
  alg: Type.Literal(S2S_ALGORITHM),
  use: Type.Literal('sig'),
});
export type PublicJwk = Static<typeof PublicJwk>;

export const JwkSet = Type.Object({ keys: Type.Array(PublicJwk, { maxItems: 32 }) });
export type JwkSet = Static<typeof JwkSet>;

import {
  S2S_ALGORITHM,
  S2S_AUDIENCE,
  S2S_TOKEN_LIFE_SECONDS,
  type Pool,
  type S2SClaims,
  type S2SIssuer,
  type Tier,
} from '@arrakis/contracts';

/** What one service token is about. */
export interface S2STokenSubject {
  readonly nftId: string;
  readonly tier: Tier;
  /** The pool the hold was priced at. */
  readonly pool: Pool;
  readonly communityId: string;
  readonly reservationId: string;
}

/**
 * Claims of contract v1.0.0.
 *
 * @param token.jti unique for ever.
 * @param token.nowSeconds whole seconds since the epoch.
 */
export function buildClaims(
  subject: S2STokenSubject,
  token: { readonly issuer: S2SIssuer; readonly jti: string; readonly nowSeconds: number },
): S2SClaims {
  return {
    iss: token.issuer,
    aud: S2S_AUDIENCE,
    iat: token.nowSeconds,
    exp: token.nowSeconds + S2S_TOKEN_LIFE_SECONDS,
    jti: token.jti,
    nft_id: subject.nftId,
    tier: subject.tier,
    community_id: subject.communityId,
    budget_reservation_id: subject.reservationId,
    pool: subject.pool,
  };
}

/** The protected header, encoded; the same for every token of one key. */
export function encodeHeader(kid: string): string {
  return encodeSegment({ alg: S2S_ALGORITHM, kid, typ: 'JWT' });
}

/** What is signed: `header.payload` (RFC 7515, 5.1). */
export function signingInput(encodedHeader: string, claims: S2SClaims): string {
  return `${encodedHeader}.${encodeSegment(claims)}`;
}

function encodeSegment(value: object): string {
  return Buffer.from(JSON.stringify(value), 'utf8').toString('base64url');
}

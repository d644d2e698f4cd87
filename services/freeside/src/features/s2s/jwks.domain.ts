import { S2S_ALGORITHM, S2S_ISSUERS, PublicJwk } from '@arrakis/contracts';
import { Type, type Static } from 'typebox';

/** A published key; `issuer` binds it to the one service that may sign with it. */
export const ServedJwk = Type.Object({
  ...PublicJwk.properties,
  issuer: Type.Enum(S2S_ISSUERS),
});
export type ServedJwk = Static<typeof ServedJwk>;

/** The key set as served: a JwkSet whose keys also say whose they are. */
export const ServedJwkSet = Type.Object({ keys: Type.Array(ServedJwk, { maxItems: 32 }) });
export type ServedJwkSet = Static<typeof ServedJwkSet>;

/** Exactly the public members, whatever else a row may come to hold. */
export function toServedJwk(key: Pick<ServedJwk, 'kid' | 'x' | 'y' | 'issuer'>): ServedJwk {
  const { kid, x, y, issuer } = key;
  return { kty: 'EC', crv: 'P-256', x, y, kid, alg: S2S_ALGORITHM, use: 'sig', issuer };
}

/** RFC 9110, 13.1.2: weak comparison with each listed tag; `*` fits whatever there is. */
export function matchesEtag(ifNoneMatch: string | undefined, etag: string): boolean {
  if (ifNoneMatch === undefined) return false;
  if (ifNoneMatch.trim() === '*') return true;
  return ifNoneMatch.split(',').some((tag) => tag.trim().replace(/^W\//, '') === etag);
}

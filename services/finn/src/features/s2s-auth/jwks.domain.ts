import { PublicJwk, S2S_ISSUERS, type S2SIssuer } from '@arrakis/contracts';
import { Type, type Static } from 'typebox';
import { Compile } from 'typebox/compile';

const MAX_KEYS = 32;

/** `issuer`, where present, binds the key to the one service that signs with it. */
const PublishedJwk = Type.Object({
  ...PublicJwk.properties,
  issuer: Type.Optional(Type.Enum(S2S_ISSUERS)),
});
type PublishedJwk = Static<typeof PublishedJwk>;
const publishedJwk = Compile(PublishedJwk);

export interface PublishedKey {
  readonly jwk: PublicJwk;
  readonly issuer: S2SIssuer | undefined;
}

/**
 * The usable keys of a fetched key set. A key that breaks a rule is left out and the others still
 * count: one bad row must not shut every caller out. `undefined`: this is no key set at all.
 */
export function parseKeySet(document: unknown): readonly PublishedKey[] | undefined {
  const entries = (document as { keys?: unknown } | null | undefined)?.keys;
  if (!Array.isArray(entries)) return undefined;
  const keys = new Map<string, PublishedKey>();
  for (const entry of entries.slice(0, MAX_KEYS) as unknown[]) {
    if (!publishedJwk.Check(entry)) continue;
    // A private half in a public set is a leaked key; of two keys under one kid the first stands.
    if (Object.hasOwn(entry, 'd') || keys.has(entry.kid)) continue;
    keys.set(entry.kid, { jwk: publicHalf(entry), issuer: entry.issuer });
  }
  return [...keys.values()];
}

function publicHalf({ kty, crv, x, y, kid, alg, use }: PublishedJwk): PublicJwk {
  return { kty, crv, x, y, kid, alg, use };
}

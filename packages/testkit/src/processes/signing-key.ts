import { generateKeyPairSync, randomUUID, type KeyObject } from 'node:crypto';
import {
  S2S_ALGORITHM,
  S2S_AUDIENCE,
  S2S_TOKEN_LIFE_SECONDS,
  type PublicJwk,
  type S2SClaims,
} from '@arrakis/contracts';
import { SignJWT } from 'jose';

export interface SigningKey {
  readonly kid: string;
  /** PKCS #8. */
  readonly privatePem: string;
  readonly privateKey: KeyObject;
  readonly publicJwk: PublicJwk;
}

/** A fresh ES256 pair. */
export function generateSigningKey(kid = `test-${randomUUID()}`): SigningKey {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const { x, y } = publicKey.export({ format: 'jwk' });
  if (x === undefined || y === undefined) throw new Error('a P-256 key has two coordinates');
  return {
    kid,
    privateKey,
    privatePem: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
    publicJwk: { kty: 'EC', crv: 'P-256', x, y, kid, alg: S2S_ALGORITHM, use: 'sig' },
  };
}

export interface TestTokenOptions {
  /** Over claims that are valid as they stand; anything may be put there, also what is refused. */
  readonly claims?: Readonly<Record<string, unknown>>;
  /** Over `alg` and `kid`. */
  readonly header?: Readonly<Record<string, unknown>>;
  /** Seconds since the epoch at which the token is issued; the present unless said otherwise. */
  readonly issuedAt?: number;
}

/** Claims of a service token that finn accepts, with a fresh `jti` and reservation. */
export function serviceClaims(issuedAt = Math.floor(Date.now() / 1000)): S2SClaims {
  return {
    iss: 'loa-freeside',
    aud: S2S_AUDIENCE,
    iat: issuedAt,
    exp: issuedAt + S2S_TOKEN_LIFE_SECONDS,
    jti: randomUUID(),
    nft_id: '1:0x00000000000000000000000000000000000000aa:1',
    tier: 'standard',
    community_id: '00000000-0000-7000-8000-000000000001',
    budget_reservation_id: randomUUID(),
  };
}

/** A signed service token, valid unless the options spoil it. */
export async function signServiceToken(
  key: SigningKey,
  options: TestTokenOptions = {},
): Promise<string> {
  const claims = { ...serviceClaims(options.issuedAt), ...options.claims };
  return new SignJWT(claims)
    .setProtectedHeader({ alg: S2S_ALGORITHM, kid: key.kid, ...options.header })
    .sign(key.privateKey);
}

import {
  createHash,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
} from 'node:crypto';
import { S2S_ALGORITHM, type PublicJwk } from '@arrakis/contracts';
import { makeKid } from './kid.domain.ts';

export interface KeyPair {
  readonly kid: string;
  readonly privateKey: KeyObject;
  readonly publicJwk: PublicJwk;
}

/** A new P-256 pair, named after its time and thumbprint. */
export function generateKeyPair(createdAt: Date): KeyPair {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const kid = makeKid(createdAt, thumbprintHex(publicJwk(privateKey, '')));
  return { kid, privateKey, publicJwk: publicJwk(privateKey, kid) };
}

/** @returns `undefined` when the text isn't the PEM of a P-256 private key. Never quotes the text. */
export function parsePrivateKey(pem: string): KeyObject | undefined {
  try {
    const key = createPrivateKey({ key: pem, format: 'pem' });
    const isP256 =
      key.asymmetricKeyType === 'ec' && key.asymmetricKeyDetails?.namedCurve === 'prime256v1';
    return isP256 ? key : undefined;
  } catch {
    return undefined;
  }
}

/** PKCS8 PEM, for the key store's file and nothing else. */
export function exportPrivateKey(privateKey: KeyObject): string {
  return privateKey.export({ format: 'pem', type: 'pkcs8' }).toString();
}

/** Only the public coordinates: `d` has no way into the result. */
export function publicJwk(privateKey: KeyObject, kid: string): PublicJwk {
  const { x, y } = createPublicKey(privateKey).export({ format: 'jwk' });
  if (x === undefined || y === undefined) throw new TypeError('the key has no EC coordinates');
  return { kty: 'EC', crv: 'P-256', x, y, kid, alg: S2S_ALGORITHM, use: 'sig' };
}

/** RFC 7638 thumbprint: SHA-256 over the required members in lexicographic order, in hex. */
export function thumbprintHex(jwk: Pick<PublicJwk, 'crv' | 'kty' | 'x' | 'y'>): string {
  const { crv, kty, x, y } = jwk;
  return createHash('sha256').update(JSON.stringify({ crv, kty, x, y })).digest('hex');
}

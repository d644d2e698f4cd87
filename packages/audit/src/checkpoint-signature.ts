import { createHash, createPublicKey, verify, type KeyObject } from 'node:crypto';
import type { Signature } from './line.domain.ts';

/** A public key that checkpoints may be signed with. */
export interface CheckpointKey {
  /** RFC 7638 thumbprint, base64url: follows from the key, so nobody can name another's. */
  readonly kid: string;
  readonly publicKey: KeyObject;
}

/** What a checkpoint's signature is made over: the chain up to it, and nothing else that the key may sign. */
export function signingInput(sequence: bigint, linkHash: string): Buffer {
  return Buffer.from(`arrakis audit checkpoint\n${sequence}\n${linkHash}`, 'ascii');
}

export function isSignedBy(
  key: CheckpointKey,
  sequence: bigint,
  linkHash: string,
  signature: Signature,
): boolean {
  const bytes = Buffer.from(signature.value, 'base64url');
  const how = { key: key.publicKey, dsaEncoding: 'ieee-p1363' } as const;
  // Base64url of 64 bytes leaves four bits over, which nobody may write something into.
  const isCanonical = bytes.length === 64 && bytes.toString('base64url') === signature.value;
  return isCanonical && verify('sha256', signingInput(sequence, linkHash), how, bytes);
}

/**
 * @param text the PEM or the JWK of a P-256 key; of a private one only the public half is kept.
 * @returns `undefined` when it is none. Never quotes the text.
 */
export function readCheckpointKey(text: string): CheckpointKey | undefined {
  try {
    const publicKey = text.trimStart().startsWith('{')
      ? createPublicKey({ key: JSON.parse(text) as JsonKey, format: 'jwk' })
      : createPublicKey({ key: text, format: 'pem' });
    return checkpointKey(publicKey);
  } catch {
    return undefined;
  }
}

type JsonKey = Record<string, string>;

/** `undefined` when the key isn't on P-256. */
export function checkpointKey(publicKey: KeyObject): CheckpointKey | undefined {
  if (publicKey.asymmetricKeyDetails?.namedCurve !== 'prime256v1') return undefined;
  const { crv, kty, x, y } = publicKey.export({ format: 'jwk' });
  const kid = createHash('sha256').update(JSON.stringify({ crv, kty, x, y })).digest('base64url');
  return { kid, publicKey };
}

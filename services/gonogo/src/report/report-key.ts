import type { KeyObject } from 'node:crypto';
import type { PublicJwk } from '@arrakis/contracts';
import { generateKeyPair, parsePrivateKey, publicJwk, thumbprintHex } from '@arrakis/signing-keys';

/** What signs the report. Its id is the RFC 7638 thumbprint, in hex. */
export interface ReportKey {
  readonly signedBy: 'key' | 'ephemeral';
  readonly privateKey: KeyObject;
  readonly publicJwk: PublicJwk;
}

/**
 * @param pem PKCS8 of a P-256 key; without it a key is made for this run.
 * @throws Error when the text is no such key; never quotes it.
 */
export function openReportKey(pem: string | undefined, now: Date): ReportKey {
  if (pem === undefined) {
    const { privateKey } = generateKeyPair(now);
    return { signedBy: 'ephemeral', privateKey, publicJwk: named(privateKey) };
  }
  const privateKey = parsePrivateKey(pem);
  if (privateKey === undefined) throw new Error('GONOGO_SIGNING_KEY is no P-256 private key (PEM)');
  return { signedBy: 'key', privateKey, publicJwk: named(privateKey) };
}

function named(privateKey: KeyObject): PublicJwk {
  return publicJwk(privateKey, thumbprintHex(publicJwk(privateKey, '')));
}

import type { KeyObject } from 'node:crypto';
import {
  ACTIVE_FILE,
  kidFitsThumbprint,
  kidOfFile,
  parseActiveFile,
  parsePrivateKey,
  publicJwk,
  thumbprintHex,
} from '@arrakis/signing-keys';
import type { SecretObject } from '../../kubernetes/objects.ts';
import type { World } from './world.domain.ts';

/**
 * A Secret of signing keys, opened. It holds private keys: it lives as long as one look at the
 * resource, and nothing of it but kids goes anywhere else.
 */
export interface Material {
  /** The Secret's own text, base64, of the files that are ours. */
  readonly files: Readonly<Record<string, string>>;
  readonly keys: ReadonlyMap<string, KeyObject>;
  readonly pems: World['secret']['pems'];
  readonly active: World['secret']['active'];
  readonly resourceVersion: string | undefined;
  readonly uid: string | undefined;
}

export function openSecret(secret: SecretObject | undefined): Material {
  const data = secret?.data ?? {};
  const files: Record<string, string> = {};
  const keys = new Map<string, KeyObject>();
  const pems: { kid: string; isGood: boolean }[] = [];
  for (const [name, base64] of Object.entries(data)) {
    const kid = kidOfFile(name);
    if (kid === undefined) continue;
    files[name] = base64;
    const key = openKey(kid, decode(base64));
    if (key !== undefined) keys.set(kid, key);
    pems.push({ kid, isGood: key !== undefined });
  }
  const activeText = data[ACTIVE_FILE];
  if (activeText !== undefined) files[ACTIVE_FILE] = activeText;
  const { resourceVersion, uid } = secret?.metadata ?? {};
  return { files, keys, pems, active: openActive(activeText), resourceVersion, uid };
}

function openKey(kid: string, pem: string): KeyObject | undefined {
  const key = parsePrivateKey(pem);
  if (key === undefined) return undefined;
  return kidFitsThumbprint(kid, thumbprintHex(publicJwk(key, kid))) ? key : undefined;
}

function openActive(base64: string | undefined): World['secret']['active'] {
  const active = base64 === undefined ? undefined : parseActiveFile(decode(base64));
  return active === undefined ? undefined : { kid: active.activeKid, since: active.updatedAt };
}

const decode = (base64: string): string => Buffer.from(base64, 'base64').toString('utf8');

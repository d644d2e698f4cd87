import { KID_PATTERN } from '@arrakis/contracts';
import { Type } from 'typebox';
import { Value } from 'typebox/value';
import { isKid } from './kid.domain.ts';

/**
 * The layout of a key store: `active.json` names the key that signs, `<kid>.pem` holds each
 * private key (PKCS8). A directory has it, and so does the Secret that is mounted as one.
 */
export const ACTIVE_FILE = 'active.json';
const PEM_SUFFIX = '.pem';

/** Which key signs, and since when. */
export interface ActiveKey {
  readonly activeKid: string;
  readonly updatedAt: Date;
}

const ActiveFile = Type.Object({
  activeKid: Type.String({ pattern: KID_PATTERN }),
  updatedAt: Type.String({ maxLength: 40 }),
});

/** The kid that a file of the store belongs to, if it holds a key. */
export function kidOfFile(fileName: string): string | undefined {
  if (!fileName.endsWith(PEM_SUFFIX)) return undefined;
  const kid = fileName.slice(0, -PEM_SUFFIX.length);
  return isKid(kid) ? kid : undefined;
}

/** @param kid checked by the caller: only the closed alphabet may become part of a path. */
export function pemFileName(kid: string): string {
  return `${kid}${PEM_SUFFIX}`;
}

/** @returns `undefined` for anything but `{"activeKid": …, "updatedAt": …}`. */
export function parseActiveFile(text: string): ActiveKey | undefined {
  const value = parseJson(text);
  if (!Value.Check(ActiveFile, value)) return undefined;
  const updatedAt = new Date(value.updatedAt);
  return isNaN(updatedAt.getTime()) ? undefined : { activeKid: value.activeKid, updatedAt };
}

export function formatActiveFile(active: ActiveKey): string {
  const { activeKid, updatedAt } = active;
  return `${JSON.stringify({ activeKid, updatedAt: updatedAt.toISOString() })}\n`;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

import { KID_PATTERN } from '@arrakis/contracts';

/**
 * Ids of the keys we make: `20261122T073012Z-0123456789abcdef`, the second of creation and the
 * first 64 bits of the key's RFC 7638 thumbprint. The time orders keys without asking anybody; the
 * thumbprint shows a file that holds another key than its name says.
 */
const OWN_KID = /^(\d{4})(\d{2})(\d{2})T(\d{2})(\d{2})(\d{2})Z-([0-9a-f]{16})$/;
const KID = new RegExp(KID_PATTERN);
const THUMBPRINT_CHARACTERS = 16;

/** @param thumbprintHex the key's SHA-256 thumbprint in lower-case hex. */
export function makeKid(createdAt: Date, thumbprintHex: string): string {
  const second = createdAt.toISOString().replace(/\.\d{3}Z$/, 'Z');
  return `${second.replace(/[-:]/g, '')}-${thumbprintHex.slice(0, THUMBPRINT_CHARACTERS)}`;
}

export function isKid(text: string): boolean {
  return KID.test(text);
}

/** Seconds since the epoch; `undefined` for a kid that we did not make. */
export function kidCreatedAtSeconds(kid: string): number | undefined {
  const match = OWN_KID.exec(kid);
  if (match === null) return undefined;
  const [, year, month, day, hour, minute, second] = match;
  const at = Date.parse(
    `${year ?? ''}-${month ?? ''}-${day ?? ''}T${hour ?? ''}:${minute ?? ''}:${second ?? ''}Z`,
  );
  return Number.isNaN(at) ? undefined : at / 1000;
}

/** False when the kid claims another thumbprint. A kid that we did not make claims none. */
export function kidFitsThumbprint(kid: string, thumbprintHex: string): boolean {
  const claimed = OWN_KID.exec(kid)?.[7];
  return claimed === undefined || thumbprintHex.startsWith(claimed);
}

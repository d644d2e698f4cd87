import { parseFlatObject } from './json-object.domain.ts';
import type { RejectionReason } from './rejection.domain.ts';

/** Our tokens have some 600 characters; more is not worth decoding. */
const MAX_TOKEN_LENGTH = 4096;
/** An ES256 signature is r and s, 32 bytes each (RFC 7518 section 3.4): never DER. */
const SIGNATURE_BYTES = 64;
const BASE64URL = /^[A-Za-z0-9_-]+$/;

/** A token in compact form whose header is read, and whose signature is not yet verified. */
export interface CompactToken {
  readonly header: Readonly<Record<string, unknown>>;
  readonly payload: Uint8Array;
  /** `header.payload` as it was sent (RFC 7515, section 5.2). */
  readonly signedInput: Uint8Array;
  readonly signature: Uint8Array;
}

/** Splits and decodes strictly; nothing that follows has to wonder about the form again. */
export function decodeCompactToken(token: string): CompactToken | RejectionReason {
  if (token.length > MAX_TOKEN_LENGTH) return 'malformed';
  const parts = token.split('.');
  if (parts.length !== 3 || parts.includes('')) return 'malformed';
  const [headerBytes, payload, signature] = parts.map(decodeBase64Url);
  if (!headerBytes || !payload || !signature) return 'loose_encoding';
  if (signature.length !== SIGNATURE_BYTES) return 'signature_length';

  const header = parseFlatObject(headerBytes);
  if (header === undefined) return 'bad_json';
  const signedInput = Buffer.from(token.slice(0, token.lastIndexOf('.')), 'ascii');
  return { header, payload, signedInput, signature };
}

/**
 * Canonical base64url only: no padding, no whitespace, no non-zero trailing bits. Otherwise one
 * token has many spellings, and whoever compares tokens as text is fooled.
 */
function decodeBase64Url(text: string): Uint8Array | undefined {
  if (!BASE64URL.test(text)) return undefined;
  const bytes = Buffer.from(text, 'base64url');
  return bytes.toString('base64url') === text ? bytes : undefined;
}

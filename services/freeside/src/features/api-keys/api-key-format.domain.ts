/**
 * The form of an API key: `lf_live_` or `lf_test_`, 12 base32 characters that name the key, `_`,
 * and 32 base62 characters that prove it.
 *
 * The secret carries 32 × log2(62) = 190.5 bits of entropy; the prefix (60 bits) is public, stored
 * and shown in clear, and counts for nothing.
 */

export const API_KEY_ENVIRONMENTS = ['live', 'test'] as const;
export type ApiKeyEnvironment = (typeof API_KEY_ENVIRONMENTS)[number];

const BASE32 = 'abcdefghijklmnopqrstuvwxyz234567';
const BASE62 = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';
const PREFIX_CHARACTERS = 12;
const SECRET_CHARACTERS = 32;

const API_KEY = /^lf_(live|test)_([a-z2-7]{12})_([0-9A-Za-z]{32})$/;
const API_KEY_PREFIX = /^lf_(?:live|test)_[a-z2-7]{12}$/;
const API_KEY_CHARACTERS = 'lf_live_'.length + PREFIX_CHARACTERS + 1 + SECRET_CHARACTERS;

/** A well-formed key, which says nothing of whether it is valid. */
export interface PresentedKey {
  readonly environment: ApiKeyEnvironment;
  /** `lf_live_xxxxxxxxxxxx`: the column `key_prefix`. */
  readonly keyPrefix: string;
  readonly secret: string;
}

/** `undefined` for anything that isn't exactly one key, surrounding white space included. */
export function parseApiKey(text: string): PresentedKey | undefined {
  if (text.length !== API_KEY_CHARACTERS) return undefined;
  const match = API_KEY.exec(text);
  if (match === null) return undefined;
  const [, environment, name, secret] = match;
  if (name === undefined || secret === undefined) return undefined;
  return environment === 'live'
    ? { environment: 'live', keyPrefix: `lf_live_${name}`, secret }
    : { environment: 'test', keyPrefix: `lf_test_${name}`, secret };
}

/** The clear text of a key, to be shown once and kept nowhere. */
export function formatApiKey(key: PresentedKey): string {
  return `${key.keyPrefix}_${key.secret}`;
}

export function isKeyPrefix(text: string): boolean {
  return API_KEY_PREFIX.test(text);
}

/** Environment that a stored `key_prefix` belongs to. */
export function environmentOf(keyPrefix: string): ApiKeyEnvironment {
  return keyPrefix.startsWith('lf_test_') ? 'test' : 'live';
}

/** A new key from a cryptographic source of random bytes. */
export function generateApiKey(
  environment: ApiKeyEnvironment,
  randomBytes: (count: number) => Uint8Array,
): PresentedKey {
  const name = uniformText(BASE32, PREFIX_CHARACTERS, randomBytes);
  const secret = uniformText(BASE62, SECRET_CHARACTERS, randomBytes);
  return { environment, keyPrefix: `lf_${environment}_${name}`, secret };
}

/**
 * Each character equally likely: a byte at or above the largest multiple of the alphabet's size is
 * thrown away, since folding it would favour the alphabet's beginning.
 */
function uniformText(
  alphabet: string,
  length: number,
  randomBytes: (count: number) => Uint8Array,
): string {
  const acceptBelow = 256 - (256 % alphabet.length);
  let text = '';
  while (text.length < length) {
    for (const byte of randomBytes(length)) {
      if (byte < acceptBelow && text.length < length)
        text += alphabet.charAt(byte % alphabet.length);
    }
  }
  return text;
}

export type Credentials =
  | { readonly kind: 'absent' }
  | { readonly kind: 'malformed' }
  | { readonly kind: 'key'; readonly key: PresentedKey };

const BEARER = /^bearer +([^ ]+)$/i;
/** Far above the longest genuine value; nothing longer is looked at. */
const MAX_AUTHORIZATION_CHARACTERS = 256;

/**
 * Reads an `Authorization` header. The scheme's case doesn't matter (RFC 9110, 11.1); everything
 * after it does.
 */
export function parseAuthorization(header: string | undefined): Credentials {
  if (header === undefined || header === '') return { kind: 'absent' };
  if (header.length > MAX_AUTHORIZATION_CHARACTERS) return { kind: 'malformed' };
  const token = BEARER.exec(header)?.[1];
  const key = token === undefined ? undefined : parseApiKey(token);
  return key === undefined ? { kind: 'malformed' } : { kind: 'key', key };
}

/**
 * Peppers: keys of the HMAC that turns an API key's secret into what the database stores. They
 * live outside the database, so that a copy of it alone can't be used to test guesses.
 */
export interface Peppers {
  /** The highest version: it hashes new keys. */
  readonly currentVersion: number;
  readonly byVersion: ReadonlyMap<number, Uint8Array>;
}

/** A pepper shorter than the hash would be its weakest part. */
export const MIN_PEPPER_BYTES = 32;
const MAX_PEPPER_BYTES = 1024;
/** `smallint`, as the column `pepper_version`. */
const MAX_PEPPER_VERSION = 32_767;
/** Fewer different bytes than 32 random ones ever have: a placeholder, not a secret. */
const MIN_DISTINCT_BYTES = 10;

/** Says which entry is wrong and how to mend it; never what it holds. */
export class PepperError extends Error {
  constructor(message: string) {
    super(`API_KEY_PEPPER ${message}`);
    this.name = 'PepperError';
  }
}

/**
 * Reads `1:<base64>[,2:<base64>…]`: version, colon, pepper of at least 32 bytes in base64.
 *
 * @throws PepperError whose message is safe to print.
 */
export function parsePeppers(text: string): Peppers {
  if (text.trim() === '') {
    throw new PepperError(
      'is missing: expected version:base64 of at least 32 random bytes, made for example by ' +
        '`echo "1:$(openssl rand -base64 32)"`',
    );
  }
  const byVersion = new Map<number, Uint8Array>();
  for (const [index, entry] of text.split(',').entries()) {
    const [version, pepper] = parseEntry(entry.trim(), index + 1);
    if (byVersion.has(version)) {
      throw new PepperError(`has version ${version} twice: each version may stand once`);
    }
    byVersion.set(version, pepper);
  }
  return { currentVersion: Math.max(...byVersion.keys()), byVersion };
}

function parseEntry(entry: string, position: number): [version: number, pepper: Uint8Array] {
  const where = `entry ${position}`;
  const colon = entry.indexOf(':');
  if (colon < 1) {
    throw new PepperError(`${where}: expected version:base64, for example 1:<base64 of 32 bytes>`);
  }
  return [parseVersion(entry.slice(0, colon), where), parsePepper(entry.slice(colon + 1), where)];
}

function parseVersion(text: string, where: string): number {
  const version = /^[1-9][0-9]{0,4}$/.test(text) ? Number(text) : 0;
  if (version < 1 || version > MAX_PEPPER_VERSION) {
    throw new PepperError(
      `${where}: the version before the colon must be a whole number from 1 to ${MAX_PEPPER_VERSION}`,
    );
  }
  return version;
}

function parsePepper(text: string, where: string): Uint8Array {
  const pepper = Buffer.from(text, 'base64');
  // Node decodes leniently, skipping what isn't base64; a mangled secret must not pass.
  if (pepper.toString('base64') !== text) {
    throw new PepperError(`${where}: what follows the colon is not standard base64 with padding`);
  }
  if (pepper.length < MIN_PEPPER_BYTES || pepper.length > MAX_PEPPER_BYTES) {
    throw new PepperError(
      `${where}: the pepper has ${pepper.length} bytes; expected ${MIN_PEPPER_BYTES} to ${MAX_PEPPER_BYTES}`,
    );
  }
  if (new Set(pepper).size < MIN_DISTINCT_BYTES) {
    throw new PepperError(
      `${where}: the pepper is not random; make one with openssl rand -base64 32`,
    );
  }
  return pepper;
}

import {
  createHmac,
  createSecretKey,
  randomBytes,
  timingSafeEqual,
  type KeyObject,
} from 'node:crypto';
import type { Peppers } from './pepper.domain.ts';

const SALT_BYTES = 16;
const HASH_BYTES = 32;

/** What the database keeps of a secret. */
export interface KeyHash {
  readonly keyHash: Uint8Array;
  readonly keySalt: Uint8Array;
  readonly pepperVersion: number;
}

export type Verification = 'match' | 'mismatch' | 'pepper_missing';

/** `HMAC-SHA256(pepper, salt || secret)` under versioned peppers. */
export class KeyHasher {
  readonly #peppers: ReadonlyMap<number, KeyObject>;
  readonly #currentVersion: number;
  readonly #current: KeyObject;
  /** Stands in for a key that doesn't exist, so that refusing it costs one HMAC as well. */
  readonly #dummy: KeyHash;

  constructor(peppers: Peppers) {
    this.#peppers = new Map(
      Array.from(peppers.byVersion, ([version, pepper]) => [version, createSecretKey(pepper)]),
    );
    const current = this.#peppers.get(peppers.currentVersion);
    if (current === undefined) throw new TypeError('the current pepper version has no pepper');
    this.#current = current;
    this.#currentVersion = peppers.currentVersion;
    this.#dummy = {
      keyHash: randomBytes(HASH_BYTES),
      keySalt: randomBytes(SALT_BYTES),
      pepperVersion: peppers.currentVersion,
    };
  }

  /** Under the newest pepper and a fresh salt. */
  hash(secret: string): KeyHash {
    const keySalt = randomBytes(SALT_BYTES);
    return {
      keyHash: digest(this.#current, keySalt, secret),
      keySalt,
      pepperVersion: this.#currentVersion,
    };
  }

  /**
   * Exactly one HMAC and one constant-time comparison, whatever is asked: without a stored hash
   * (unknown key) or without its pepper (retired version) the answer is never 'match'.
   */
  verify(stored: KeyHash | undefined, secret: string): Verification {
    const { keyHash, keySalt, pepperVersion } = stored ?? this.#dummy;
    const pepper = this.#peppers.get(pepperVersion);
    const actual = digest(pepper ?? this.#current, keySalt, secret);
    const equal = keyHash.length === HASH_BYTES && timingSafeEqual(actual, keyHash);
    if (pepper === undefined) return 'pepper_missing';
    return equal && stored !== undefined ? 'match' : 'mismatch';
  }
}

function digest(pepper: KeyObject, salt: Uint8Array, secret: string): Buffer {
  return createHmac('sha256', pepper).update(salt).update(secret, 'utf8').digest();
}

import { createHmac, createSecretKey, timingSafeEqual, type KeyObject } from 'node:crypto';
import { canonicalText, type JsonText } from './json-text.domain.ts';

/** In the lower case in which Node reports it. */
export const SIGNATURE_HEADER = 'x-nowpayments-sig';

const HEX_SHA512 = /^[0-9a-fA-F]{128}$/;

/** Whether it could be a signature at all. */
export function isSignatureShaped(signature: string | undefined): signature is string {
  return signature !== undefined && HEX_SHA512.test(signature);
}

/**
 * Checks the vendor's HMAC-SHA512. Two forms of a body are accepted, since the vendor's own samples
 * disagree:
 *
 * - the bytes as they came: what a sender signs who serializes once;
 * - the JSON with the members of every object sorted by name: what the vendor's helper does before it
 *   signs, at every depth. The text of numbers is kept as it came, because the helper's own text is
 *   what is on the wire.
 *
 * Not accepted is the one-liner of the vendor's prose, which gives the sorted names of the outermost
 * object as a filter: it drops what is nested in it, so anybody could change that unseen.
 */
export class IpnVerifier {
  readonly #key: KeyObject;

  /** @param secret the IPN secret of the vendor's dashboard; at least one character. */
  constructor(secret: string) {
    this.#key = createSecretKey(secret, 'utf8');
  }

  /** Compares in constant time; a signature of another length or alphabet is refused, not thrown on. */
  verify(raw: Uint8Array, body: JsonText, signature: string): boolean {
    if (!isSignatureShaped(signature)) return false;
    const given = Buffer.from(signature, 'hex');
    return (
      timingSafeEqual(this.#hmac(raw), given) ||
      timingSafeEqual(this.#hmac(Buffer.from(canonicalText(body), 'utf8')), given)
    );
  }

  #hmac(bytes: Uint8Array): Buffer {
    return createHmac('sha512', this.#key).update(bytes).digest();
  }
}

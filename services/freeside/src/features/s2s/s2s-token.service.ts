import { randomBytes, sign } from 'node:crypto';
import type { S2SIssuer } from '@arrakis/contracts';
import {
  buildClaims,
  encodeHeader,
  signingInput,
  type S2STokenSubject,
} from './s2s-token.domain.ts';
import type { SigningKey, SigningKeySource } from './signing-key-source.ts';

const JTI_BYTES = 16;

export interface S2STokenServiceOptions {
  readonly keys: SigningKeySource;
  readonly issuer?: S2SIssuer;
  /** Milliseconds since the epoch; `Date.now` when absent. */
  readonly wallClockMs?: () => number;
}

/** Signs service tokens. */
export class S2STokenService {
  readonly #keys: SigningKeySource;
  readonly #issuer: S2SIssuer;
  readonly #wallClockMs: () => number;
  #header: { readonly key: SigningKey; readonly encoded: string } | undefined;

  constructor(options: S2STokenServiceOptions) {
    this.#keys = options.keys;
    this.#issuer = options.issuer ?? 'loa-freeside';
    this.#wallClockMs = options.wallClockMs ?? (() => Date.now());
  }

  /**
   * A compact ES256 JWT, good for 60 s and one use. Synchronous on purpose: signing takes 50 µs of
   * CPU, and the round trip to a thread pool would quadruple that.
   */
  sign(subject: S2STokenSubject): string {
    const key = this.#keys.current();
    const claims = buildClaims(subject, {
      issuer: this.#issuer,
      jti: randomBytes(JTI_BYTES).toString('base64url'),
      nowSeconds: Math.floor(this.#wallClockMs() / 1000),
    });
    const input = signingInput(this.#encodedHeader(key), claims);
    const signature = sign('sha256', Buffer.from(input, 'ascii'), {
      key: key.privateKey,
      // JOSE wants r || s, not the ASN.1 sequence that OpenSSL writes.
      dsaEncoding: 'ieee-p1363',
    });
    return `${input}.${signature.toString('base64url')}`;
  }

  #encodedHeader(key: SigningKey): string {
    if (this.#header?.key !== key) this.#header = { key, encoded: encodeHeader(key.kid) };
    return this.#header.encoded;
  }
}

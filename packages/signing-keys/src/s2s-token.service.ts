import { randomUUID } from 'node:crypto';
import type { S2SIssuer } from '@arrakis/contracts';
import { signEs256 } from '@arrakis/service-kit';
import {
  buildClaims,
  encodeHeader,
  signingInput,
  type S2STokenSubject,
} from './s2s-token.domain.ts';
import type { SigningKey, SigningKeySource } from './signing-key-source.ts';

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
   * A compact ES256 JWT, good for 60 s and one use. Synchronous on purpose: signing takes 30 µs of
   * CPU, and the round trip to a thread pool would multiply that.
   */
  sign(subject: S2STokenSubject): string {
    const key = this.#keys.current();
    const claims = buildClaims(subject, {
      issuer: this.#issuer,
      jti: randomUUID(),
      nowSeconds: Math.floor(this.#wallClockMs() / 1000),
    });
    const input = signingInput(this.#encodedHeader(key), claims);
    const signature = signEs256(Buffer.from(input, 'ascii'), key.privateKey);
    return `${input}.${signature.toString('base64url')}`;
  }

  #encodedHeader(key: SigningKey): string {
    if (this.#header?.key !== key) this.#header = { key, encoded: encodeHeader(key.kid) };
    return this.#header.encoded;
  }
}

import { randomUUID } from 'node:crypto';
import type { S2SClaims } from '@arrakis/contracts';
import { verifyEs256 } from '@arrakis/service-kit';
import type { Redis } from 'ioredis';
import { checkClaims } from './claims-rules.domain.ts';
import { decodeCompactToken } from './compact-token.domain.ts';
import { checkHeader } from './header-rules.domain.ts';
import type { KeyCache } from './key-cache.ts';
import type { RejectionReason } from './rejection.domain.ts';
import { consumeOnce, releaseReservation } from './replay.store.ts';

export interface VerifiedToken {
  readonly kid: string;
  readonly claims: S2SClaims;
}

export type Verification =
  | { readonly ok: true; readonly token: VerifiedToken }
  | { readonly ok: false; readonly code: 'invalid_token'; readonly reason: RejectionReason }
  /** No key set was ever fetched: the token may be good, but nobody can tell. */
  | { readonly ok: false; readonly code: 'service_unavailable' };

export type Consumption = 'consumed' | 'invalid_token' | 'reservation_used' | 'service_unavailable';

export interface S2SAuthOptions {
  readonly keys: KeyCache;
  readonly redis: Redis;
  readonly nowMs: () => number;
  readonly onRedisFailure: (error: unknown) => void;
}

const BEARER = /^Bearer ([^\s,]+)$/i;

/** Who may ask for inference: holders of a fresh, unused token signed by a published key. */
export class S2SAuthService {
  readonly #options: S2SAuthOptions;
  /** Of each presentation of a token, by its own claims: the same token may come twice at once. */
  readonly #owners = new WeakMap<S2SClaims, string>();

  constructor(options: S2SAuthOptions) {
    this.#options = options;
  }

  /** Decides on the `Authorization` header's value. Consumes nothing. */
  async verify(authorization: string | undefined): Promise<Verification> {
    if (authorization === undefined) return rejected('missing');
    const bearer = BEARER.exec(authorization)?.[1];
    const token = bearer === undefined ? 'malformed' : decodeCompactToken(bearer);
    if (typeof token === 'string') return rejected(token);

    const header = checkHeader(token.header);
    if (typeof header === 'string') return rejected(header);

    const { keys } = this.#options;
    const key = await keys.find(header.kid);
    if (key === undefined) {
      return keys.size === 0 ? { ok: false, code: 'service_unavailable' } : rejected('unknown_kid');
    }
    // The key decides the algorithm, never the token: it is on P-256 and serves nothing else.
    if (!verifyEs256(token.signedInput, key.key, token.signature)) return rejected('signature');

    const nowSeconds = Math.floor(this.#options.nowMs() / 1000);
    const checked = checkClaims(token.payload, { keyIssuer: key.issuer, nowSeconds });
    if (typeof checked === 'string') return rejected(checked);
    return { ok: true, token: { kid: header.kid, claims: checked.claims } };
  }

  /**
   * Uses up the token and its reservation. When Redis can't answer it may have acted nevertheless:
   * nothing runs then, and the reservation is given back in case.
   */
  async consume(claims: S2SClaims): Promise<Consumption> {
    const { jti, budget_reservation_id: reservationId } = claims;
    const owner = randomUUID();
    this.#owners.set(claims, owner);
    try {
      const reply = await consumeOnce(this.#options.redis, jti, reservationId, owner);
      if (reply === 'ok') return 'consumed';
      return reply === 'jti' ? 'invalid_token' : 'reservation_used';
    } catch (error) {
      this.#options.onRedisFailure(error);
      void this.release(claims);
      return 'service_unavailable';
    }
  }

  /**
   * Gives the reservation back because nothing came of the run that {@link consume} allowed for
   * these very claims. A failure leaves it used.
   */
  async release(claims: S2SClaims): Promise<void> {
    const owner = this.#owners.get(claims);
    if (owner === undefined) return;
    try {
      await releaseReservation(this.#options.redis, claims.budget_reservation_id, owner);
    } catch (error) {
      this.#options.onRedisFailure(error);
    }
  }
}

function rejected(reason: RejectionReason): Verification {
  return { ok: false, code: 'invalid_token', reason };
}

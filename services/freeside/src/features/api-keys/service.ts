import { isUnavailable, type Queryable } from '@arrakis/postgres';
import type { ApiKeyPrincipal } from './api-key.domain.ts';
import { parseAuthorization, type PresentedKey } from './api-key-format.domain.ts';
import type { ApiKeyEvents, CacheSize } from './events.ts';
import { FailureThrottle, type ThrottleOptions } from './failure-throttle.domain.ts';
import { KeyCache } from './key-cache.ts';
import { KeyHasher } from './key-hash.ts';
import { KeyLoader, KeyLookupError } from './key-loader.ts';
import { LastUsedWriter } from './last-used.ts';
import type { Peppers } from './pepper.domain.ts';
import { findRecords, touchLastUsed } from './store.ts';

export type Authentication =
  | { readonly ok: true; readonly principal: ApiKeyPrincipal }
  /** `unauthorized`: no key, or nothing that could be one. `invalid_api_key`: it opens nothing. */
  | { readonly ok: false; readonly code: 'unauthorized' | 'invalid_api_key' }
  | { readonly ok: false; readonly code: 'rate_limited'; readonly retryAfterSeconds: number };

/** Keys can't be verified now; tell the caller to come back. */
export class ApiKeysUnavailableError extends Error {
  constructor(cause: unknown) {
    super('API keys cannot be looked up', { cause });
    this.name = 'ApiKeysUnavailableError';
  }
}

export interface ApiKeyServiceOptions {
  readonly db: Queryable;
  readonly peppers: Peppers;
  readonly events: ApiKeyEvents;
  /** Monotonic milliseconds; `performance.now` when absent. */
  readonly monotonicMs?: () => number;
  /** Milliseconds since the epoch; `Date.now` when absent. */
  readonly wallClockMs?: () => number;
  readonly throttle?: ThrottleOptions;
  readonly lastUsedIntervalMs?: number;
}

/** Decides who a request speaks for. */
export class ApiKeyService {
  readonly #hasher: KeyHasher;
  readonly #cache: KeyCache;
  readonly #throttle: FailureThrottle;
  readonly #lastUsed: LastUsedWriter;
  readonly #events: ApiKeyEvents;
  readonly #nowMs: () => number;

  constructor(options: ApiKeyServiceOptions) {
    const { db, events } = options;
    this.#nowMs = options.monotonicMs ?? (() => performance.now());
    this.#events = events;
    this.#hasher = new KeyHasher(options.peppers);
    this.#throttle = new FailureThrottle(options.throttle);
    const loader = new KeyLoader({
      find: (keyPrefixes) => findRecords(db, keyPrefixes),
      nowMs: this.#nowMs,
    });
    this.#cache = new KeyCache({
      load: (keyPrefix, isKnown) => loader.load(keyPrefix, isKnown),
      nowMs: this.#nowMs,
      onLoadFailed: (error) => events.lookupFailed(error),
    });
    this.#lastUsed = new LastUsedWriter({
      write: (uses) => touchLastUsed(db, uses),
      wallClockMs: options.wallClockMs ?? (() => Date.now()),
      onFailed: (error) => events.lastUsedFailed(error),
      ...(options.lastUsedIntervalMs === undefined
        ? {}
        : { intervalMs: options.lastUsedIntervalMs }),
    });
  }

  /**
   * @param authorization the request's `Authorization` header as it came.
   * @param remoteAddress whose failed attempts are counted; never a header that a client chooses.
   * @throws ApiKeysUnavailableError when the database can't be reached and no record is young
   *   enough to decide without it: answer 503.
   */
  async authenticate(
    authorization: string | undefined,
    remoteAddress: string,
  ): Promise<Authentication> {
    const result = await this.#decide(authorization, remoteAddress);
    this.#events.authenticated(result.ok ? 'ok' : result.code);
    return result;
  }

  /** How much the key cache holds. */
  readonly cacheSize: CacheSize = () => this.#cache.size;

  /** Writes the last uses noted so far. Never rejects. */
  flush(): Promise<void> {
    return this.#lastUsed.flush();
  }

  close(): Promise<void> {
    return this.#lastUsed.close();
  }

  async #decide(authorization: string | undefined, remoteAddress: string): Promise<Authentication> {
    const credentials = parseAuthorization(authorization);
    if (credentials.kind === 'absent') return { ok: false, code: 'unauthorized' };
    const presented = credentials.kind === 'key' ? credentials.key : undefined;

    const retryAfterSeconds = this.#throttle.retryAfterSeconds(remoteAddress, this.#nowMs());
    if (retryAfterSeconds > 0 && !this.#isKnownGood(presented)) {
      return { ok: false, code: 'rate_limited', retryAfterSeconds };
    }

    const principal = presented === undefined ? undefined : await this.#verify(presented);
    if (principal !== undefined) {
      this.#lastUsed.note(principal.keyId);
      return { ok: true, principal };
    }
    this.#throttle.recordFailure(remoteAddress, this.#nowMs());
    return { ok: false, code: presented === undefined ? 'unauthorized' : 'invalid_api_key' };
  }

  /**
   * Whether the secret belongs to a key seen before, however long ago: a hash never changes, so
   * this needs no database, and whoever shares an address with an attacker isn't slowed by them.
   * Costs the same whether there is such a key, was one, or never.
   */
  #isKnownGood(presented: PresentedKey | undefined): boolean {
    if (presented === undefined) return false;
    const record = this.#cache.peek(presented.keyPrefix);
    const verification = this.#hasher.verify(record, presented.secret);
    return verification === 'match' && record?.isActive === true;
  }

  /** One path for the unknown prefix, the wrong secret and the revoked key. */
  async #verify(presented: PresentedKey): Promise<ApiKeyPrincipal | undefined> {
    const record = await this.#record(presented.keyPrefix);
    const verification = this.#hasher.verify(record, presented.secret);
    if (verification === 'pepper_missing' && record !== undefined) {
      this.#events.pepperMissing(record.pepperVersion, record.keyPrefix);
    }
    return verification === 'match' && record?.isActive === true ? record.principal : undefined;
  }

  async #record(keyPrefix: string): ReturnType<KeyCache['get']> {
    try {
      return await this.#cache.get(keyPrefix);
    } catch (error) {
      if (!(error instanceof KeyLookupError) && !isUnavailable(error)) throw error;
      this.#events.authenticated('unavailable');
      throw new ApiKeysUnavailableError(error);
    }
  }
}

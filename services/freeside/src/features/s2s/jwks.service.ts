import { createHash } from 'node:crypto';
import type { Queryable } from '@arrakis/postgres';
import { findCurrentKeys, type PublishedKey } from '@arrakis/signing-keys';
import type { S2SEvents } from './events.ts';
import { toServedJwk, type ServedJwkSet } from './jwks.domain.ts';

export interface JwksServiceOptions {
  readonly db: Queryable;
  readonly events: Pick<S2SEvents, 'jwksLoaded' | 'jwksLoadFailed'>;
  /** Kid of the key that this process signs with, for the metric that watches its expiry. */
  readonly activeKid: () => string | undefined;
  /** Monotonic milliseconds; `performance.now` when absent. */
  readonly monotonicMs?: () => number;
  /** Milliseconds since the epoch; `Date.now` when absent. */
  readonly wallClockMs?: () => number;
}

/** A key set and the strong validator of its bytes. */
export interface RenderedKeySet {
  readonly set: ServedJwkSet;
  readonly etag: string;
}

/** No key set was ever read and the database can't be reached. */
export class JwksUnavailableError extends Error {
  constructor(cause: unknown) {
    super('the key set cannot be read', { cause });
    this.name = 'JwksUnavailableError';
  }
}

interface Loaded {
  readonly keys: readonly PublishedKey[];
  readonly rendered: RenderedKeySet;
}

const FRESH_MS = 1000;
/** A verifier gives up after a few seconds; a set that is at hand doesn't wait longer for a newer. */
const MAX_WAIT_MS = 1000;

/**
 * The key set of the database, read at most once a second. While the database is away the last
 * set is served on, less the keys that have expired: verifiers must not lose their keys with it.
 */
export class JwksService {
  readonly #options: JwksServiceOptions;
  readonly #nowMs: () => number;
  readonly #wallClockMs: () => number;
  #last: Loaded | undefined;
  #triedAtMs = Number.NEGATIVE_INFINITY;
  #loading: Promise<Loaded> | undefined;

  constructor(options: JwksServiceOptions) {
    this.#options = options;
    this.#nowMs = options.monotonicMs ?? (() => performance.now());
    this.#wallClockMs = options.wallClockMs ?? (() => Date.now());
  }

  /** @throws JwksUnavailableError */
  async current(): Promise<RenderedKeySet> {
    if (this.#last === undefined) {
      try {
        return this.#unexpired(await this.#load());
      } catch (error) {
        throw new JwksUnavailableError(error);
      }
    }
    const ageMs = this.#nowMs() - this.#triedAtMs;
    // A load that still runs has used up part of the wait.
    const waitMs = this.#loading === undefined ? MAX_WAIT_MS : MAX_WAIT_MS - ageMs;
    if (this.#loading !== undefined || ageMs >= FRESH_MS) {
      await withinTime(this.#load(), waitMs).catch(() => undefined);
    }
    return this.#unexpired(this.#last);
  }

  #load(): Promise<Loaded> {
    this.#loading ??= this.#read().finally(() => {
      this.#loading = undefined;
    });
    return this.#loading;
  }

  async #read(): Promise<Loaded> {
    this.#triedAtMs = this.#nowMs();
    try {
      const keys = await findCurrentKeys(this.#options.db);
      const loaded = { keys, rendered: render(keys) };
      this.#last = loaded;
      const activeKid = this.#options.activeKid();
      const active = keys.find((key) => key.kid === activeKid);
      this.#options.events.jwksLoaded(keys.length, active?.expiresAt);
      return loaded;
    } catch (error) {
      this.#options.events.jwksLoadFailed(error);
      throw error;
    }
  }

  #unexpired(last: Loaded): RenderedKeySet {
    const now = this.#wallClockMs();
    const keys = last.keys.filter((key) => key.expiresAt.getTime() > now);
    if (keys.length === last.keys.length) return last.rendered;
    this.#last = { keys, rendered: render(keys) };
    return this.#last.rendered;
  }
}

async function withinTime(work: Promise<unknown>, timeoutMs: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, Math.max(0, timeoutMs));
  });
  try {
    await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}

function render(keys: readonly PublishedKey[]): RenderedKeySet {
  const set = { keys: keys.map(toServedJwk) };
  const digest = createHash('sha256').update(JSON.stringify(set)).digest('base64url');
  return { set, etag: `"${digest.slice(0, 27)}"` };
}

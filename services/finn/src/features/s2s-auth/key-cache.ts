import { JWKS_MAX_AGE_SECONDS } from '@arrakis/contracts';
import type { VerificationKey } from './jwks.client.ts';

export type KeyFetchOutcome = 'ok' | 'empty' | 'failed';

export interface KeyCacheOptions {
  readonly fetchKeys: () => Promise<readonly VerificationKey[]>;
  readonly now: () => number;
  readonly onFetched: (outcome: KeyFetchOutcome, error?: unknown) => void;
  /** Age at which keys are fetched anew, in the background. */
  readonly refreshAfterMs: number;
  /** Between two fetches that unknown kids cause. */
  readonly cooldownMs: number;
  /** For how long a kid that a fetch didn't bring causes no other. */
  readonly unknownTtlMs: number;
}

/**
 * Keys count as fresh for five minutes (`JWKS_MAX_AGE_SECONDS`); they are fetched a minute before
 * that, so that even a slow fetch leaves nobody with an older set.
 */
export const KEY_CACHE = {
  refreshAfterMs: (JWKS_MAX_AGE_SECONDS - 60) * 1000,
  cooldownMs: 10_000,
  unknownTtlMs: 60_000,
} as const;

const MAX_UNKNOWN_KIDS = 256;
const RETRY_MIN_MS = 1_000;
const RETRY_MAX_MS = 30_000;

/**
 * The verification keys, in memory. A known kid is answered at once and never waits for a fetch,
 * however old the set is: when freeside is away the last good keys stay. An unknown kid causes
 * one fetch that all who ask share, then none for a while, so that a flood of made-up kids costs
 * freeside one request per cooldown.
 */
export class KeyCache {
  readonly #options: KeyCacheOptions;
  #keys: ReadonlyMap<string, VerificationKey> = new Map();
  #fetchedAtMs: number | undefined;
  #failures = 0;
  #inFlight: Promise<KeyFetchOutcome> | undefined;
  #lastUnknownFetchMs = Number.NEGATIVE_INFINITY;
  /** kid → until when it counts as unknown; in order of insertion. */
  readonly #unknown = new Map<string, number>();
  #timer: NodeJS.Timeout | undefined;
  #stopped = false;

  constructor(options: KeyCacheOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#keys.size;
  }

  /** Seconds since the last good fetch; `undefined` before the first. */
  get ageSeconds(): number | undefined {
    if (this.#fetchedAtMs === undefined) return undefined;
    return (this.#options.now() - this.#fetchedAtMs) / 1000;
  }

  /** The first fetch; keeps the set fresh from then on. Resolves also when the fetch failed. */
  async start(): Promise<void> {
    await this.#refresh();
  }

  /** For readiness. @throws while there are no keys */
  checkReady(): void {
    if (this.#keys.size === 0) throw new Error('no verification keys');
  }

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
  }

  async find(kid: string): Promise<VerificationKey | undefined> {
    const known = this.#keys.get(kid);
    if (known !== undefined || !this.#mayFetchFor(kid)) return known;
    if (this.#inFlight === undefined) this.#lastUnknownFetchMs = this.#options.now();
    const outcome = await this.#refresh();
    const found = this.#keys.get(kid);
    if (found === undefined && outcome === 'ok') this.#rememberUnknown(kid);
    return found;
  }

  #mayFetchFor(kid: string): boolean {
    const now = this.#options.now();
    if ((this.#unknown.get(kid) ?? 0) > now) return false;
    return (
      this.#inFlight !== undefined || now - this.#lastUnknownFetchMs >= this.#options.cooldownMs
    );
  }

  #rememberUnknown(kid: string): void {
    if (this.#unknown.size >= MAX_UNKNOWN_KIDS) {
      const oldest = this.#unknown.keys().next();
      if (oldest.done === false) this.#unknown.delete(oldest.value);
    }
    this.#unknown.set(kid, this.#options.now() + this.#options.unknownTtlMs);
  }

  #refresh(): Promise<KeyFetchOutcome> {
    this.#inFlight ??= this.#fetch().finally(() => {
      this.#inFlight = undefined;
      this.#schedule();
    });
    return this.#inFlight;
  }

  async #fetch(): Promise<KeyFetchOutcome> {
    let outcome: KeyFetchOutcome;
    let failure: unknown;
    try {
      const keys = await this.#options.fetchKeys();
      outcome = keys.length === 0 ? 'empty' : 'ok';
      if (outcome === 'ok') {
        this.#keys = new Map(keys.map((key) => [key.kid, key]));
        this.#fetchedAtMs = this.#options.now();
      }
    } catch (error) {
      outcome = 'failed';
      failure = error;
    }
    this.#failures = outcome === 'ok' ? 0 : this.#failures + 1;
    this.#options.onFetched(outcome, failure);
    return outcome;
  }

  #schedule(): void {
    if (this.#stopped) return;
    clearTimeout(this.#timer);
    const delayMs =
      this.#failures === 0
        ? this.#options.refreshAfterMs
        : Math.min(RETRY_MIN_MS * 2 ** (this.#failures - 1), RETRY_MAX_MS);
    this.#timer = setTimeout(() => void this.#refresh(), delayMs).unref();
  }
}

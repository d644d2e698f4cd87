/**
 * A token bucket of failed attempts per remote address. Guessing an API key is hopeless; what this
 * saves is the database work and the log lines of somebody who tries.
 */
export interface ThrottleOptions {
  /** Failures that an address may make at once. */
  readonly burst: number;
  readonly refillPerSecond: number;
  /** Addresses remembered; the one that failed longest ago is forgotten first. */
  readonly maxAddresses: number;
}

export const DEFAULT_THROTTLE: ThrottleOptions = {
  burst: 30,
  refillPerSecond: 0.5,
  maxAddresses: 10_000,
};

interface Bucket {
  readonly tokens: number;
  readonly atMs: number;
}

/** Times are milliseconds of one monotonic clock. */
export class FailureThrottle {
  readonly #options: ThrottleOptions;
  readonly #buckets = new Map<string, Bucket>();

  constructor(options: ThrottleOptions = DEFAULT_THROTTLE) {
    this.#options = options;
  }

  /** Whole seconds until the address may fail again; 0 when it may now. */
  retryAfterSeconds(address: string, nowMs: number): number {
    const tokens = this.#tokens(throttleKey(address), nowMs);
    return tokens >= 1 ? 0 : Math.ceil((1 - tokens) / this.#options.refillPerSecond);
  }

  /**
   * Failures that were let in together may run into debt, as deep as one more burst, which the
   * address then waits off.
   */
  recordFailure(address: string, nowMs: number): void {
    const key = throttleKey(address);
    const tokens = Math.max(this.#tokens(key, nowMs) - 1, -this.#options.burst);
    this.#buckets.delete(key);
    this.#buckets.set(key, { tokens, atMs: nowMs });
    if (this.#buckets.size <= this.#options.maxAddresses) return;
    const oldest = this.#buckets.keys().next();
    if (oldest.done !== true) this.#buckets.delete(oldest.value);
  }

  /** Addresses remembered now. */
  get size(): number {
    return this.#buckets.size;
  }

  #tokens(key: string, nowMs: number): number {
    const bucket = this.#buckets.get(key);
    if (bucket === undefined) return this.#options.burst;
    const refilled = ((nowMs - bucket.atMs) / 1000) * this.#options.refillPerSecond;
    return Math.min(this.#options.burst, bucket.tokens + refilled);
  }
}

/**
 * What counts as one address: an IPv4 address (also when mapped into IPv6), or an IPv6 /64, since
 * whoever has one address of it usually has all.
 */
export function throttleKey(address: string): string {
  const mapped = /^::ffff:(\d{1,3}(?:\.\d{1,3}){3})$/i.exec(address)?.[1];
  if (mapped !== undefined) return mapped;
  if (!address.includes(':')) return address;
  const network = expandIpv6(address.toLowerCase()).slice(0, 4);
  return `${network.map((group) => group.replace(/^0+(?=.)/, '')).join(':')}::/64`;
}

/** The groups of an IPv6 address with `::` written out, without its zone. */
function expandIpv6(address: string): string[] {
  const [groups = ''] = address.split('%', 1);
  const [before = [], after] = groups
    .split('::', 2)
    .map((part) => part.split(':').filter((group) => group !== ''));
  if (after === undefined) return before;
  const zeros = Math.max(0, 8 - before.length - after.length);
  return [...before, ...Array<string>(zeros).fill('0'), ...after];
}

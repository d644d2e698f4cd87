import { FailureThrottle } from '../api-keys/failure-throttle.domain.ts';

/** What is known of a post before its body is read. */
export interface PostHead {
  readonly remoteAddress: string;
  /** It has what could be a signature. */
  readonly isSigned: boolean;
  /** As announced; NaN when nothing was. */
  readonly bodyBytes: number;
}

/** Forged or broken posts of one address: a hundred at once, then a hundred a minute. */
const EACH_ADDRESS = { burst: 100, refillPerSecond: 100 / 60, maxAddresses: 10_000 };
/**
 * What this process checks on behalf of addresses that are beyond that, all together. Some 50 µs
 * each, 150 for the worst body: at most a third of a core when somebody makes us spend it all.
 */
const BEYOND = { burst: 2_500, refillPerSecond: 2_500, maxAddresses: 1 };
/** The vendor's notices have half of it. What is larger is dear to check. */
const MAX_BEYOND_BYTES = 2_048;

/**
 * Whose posts are still looked at. An address that forged a hundred is refused before anything of
 * its posts is read, unless a post could be genuine and checking it is cheap: the vendor may share
 * the address with whoever floods us, when both come through one proxy that isn't named as such.
 * Genuine posts count nowhere.
 */
export class ForgeryLimit {
  readonly #addresses = new FailureThrottle(EACH_ADDRESS);
  readonly #beyond = new FailureThrottle(BEYOND);

  /** Whole seconds until the address may post again; 0: read it. Times are of one monotonic clock. */
  retryAfterSeconds(head: PostHead, nowMs: number): number {
    const seconds = this.#addresses.retryAfterSeconds(head.remoteAddress, nowMs);
    if (seconds === 0 || (isCheapToCheck(head) && this.#hasSpare(nowMs))) return 0;
    return seconds;
  }

  recordForgery(remoteAddress: string, nowMs: number): void {
    if (this.#addresses.retryAfterSeconds(remoteAddress, nowMs) > 0) {
      this.#beyond.recordFailure('', nowMs);
    }
    this.#addresses.recordFailure(remoteAddress, nowMs);
  }

  #hasSpare(nowMs: number): boolean {
    return this.#beyond.retryAfterSeconds('', nowMs) === 0;
  }
}

function isCheapToCheck({ isSigned, bodyBytes }: PostHead): boolean {
  return isSigned && bodyBytes <= MAX_BEYOND_BYTES;
}

/** When the vendor is asked next. Times are milliseconds of one monotonic clock. */
export class PollPace {
  #dueMs = 0;
  #busyInARow = 0;

  isDue(nowMs: number): boolean {
    return nowMs >= this.#dueMs;
  }

  /** A round is over, whatever it found. */
  rest(nowMs: number): void {
    this.#busyInARow = 0;
    this.#dueMs = nowMs + EVERY_MS;
  }

  /**
   * The vendor has had enough: twice as long each time, from half a minute to five, and never less
   * than it asked for, up to an hour. A fifth of jitter keeps replicas apart.
   *
   * @param random from 0 to 1
   */
  backOff(nowMs: number, random: number, askedSeconds = 0): void {
    const doubledMs = Math.min(BUSY_MIN_MS * 2 ** this.#busyInARow, BUSY_MAX_MS);
    const askedMs = Math.min(askedSeconds * 1_000, ASKED_MAX_MS);
    const jitteredMs = Math.min(Math.max(doubledMs * (1 + random / 5), BUSY_MIN_MS), BUSY_MAX_MS);
    this.#busyInARow += 1;
    this.#dueMs = nowMs + Math.max(jitteredMs, askedMs);
  }

  get dueMs(): number {
    return this.#dueMs;
  }
}

const EVERY_MS = 5 * 60_000;
const BUSY_MIN_MS = 30_000;
const BUSY_MAX_MS = 5 * 60_000;
const ASKED_MAX_MS = 60 * 60_000;

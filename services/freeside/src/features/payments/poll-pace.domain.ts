/** Between two rounds. */
export const ROUND_EVERY_MS = 5 * 60_000;

const BUSY_MIN_MS = 30_000;
const BUSY_MAX_MS = 5 * 60_000;
const ASKED_MAX_MS = 60 * 60_000;

/**
 * The vendor has had enough: how long it is left alone. Twice as long each time, from half a minute to
 * five, and never less than it asked for, up to an hour. A fifth of jitter keeps it from being a beat.
 *
 * @param busyInARow how often it has said so before, without a whole round in between
 * @param random from 0 to 1
 */
export function busyPauseMs(busyInARow: number, random: number, askedSeconds = 0): number {
  const doubledMs = Math.min(BUSY_MIN_MS * 2 ** busyInARow, BUSY_MAX_MS);
  const jitteredMs = Math.min(doubledMs * (1 + random / 5), BUSY_MAX_MS);
  return Math.max(jitteredMs, Math.min(askedSeconds * 1_000, ASKED_MAX_MS));
}

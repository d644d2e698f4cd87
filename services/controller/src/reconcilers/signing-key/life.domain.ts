const DAY_MS = 24 * 3_600_000;

/** Keys are published for this much longer than they are needed, so that a controller may be away. */
export const SPARE_LIFE_MS = 30 * DAY_MS;
/** Extended when less than this is spare: before an alarm about an expiring key goes off. */
export const MIN_SPARE_MS = 21 * DAY_MS;

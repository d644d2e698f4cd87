/**
 * The two limits of an API key, decided with the money: requests in a fixed minute that begins with
 * its first request, and tokens in a UTC day, of which a settlement gives back what was held and
 * not used. All times are milliseconds since the epoch.
 */
export interface ModelKey {
  readonly id: string;
  readonly communityId: string;
  readonly requestsPerMinute: number;
  readonly tokensPerDay: number;
  isActive: boolean;
  minuteStartedMs: number;
  minuteRequests: number;
  /** Days since the epoch. */
  day: number;
  dayTokens: number;
}

const MINUTE_MS = 60_000;
const DAY_MS = 86_400_000;

export function openKey(
  key: Pick<ModelKey, 'id' | 'communityId' | 'requestsPerMinute' | 'tokensPerDay'>,
): ModelKey {
  return {
    ...key,
    isActive: true,
    minuteStartedMs: Number.NEGATIVE_INFINITY,
    minuteRequests: 0,
    day: Number.NEGATIVE_INFINITY,
    dayTokens: 0,
  };
}

export function dayOf(atMs: number): number {
  return Math.floor(atMs / DAY_MS);
}

/** What the counters say at a moment: a window that has passed counts as empty. */
export interface KeyWindows {
  readonly minuteStartedMs: number;
  readonly requests: number;
  readonly tokens: number;
}

export function windowsOf(key: ModelKey, atMs: number): KeyWindows {
  const isSameMinute = key.minuteStartedMs > atMs - MINUTE_MS;
  return {
    minuteStartedMs: isSameMinute ? key.minuteStartedMs : atMs,
    requests: isSameMinute ? key.minuteRequests : 0,
    tokens: key.day === dayOf(atMs) ? key.dayTokens : 0,
  };
}

/** An accepted hold counts as one request and with its worst case of tokens. */
export function countHold(key: ModelKey, windows: KeyWindows, tokens: number, atMs: number): void {
  key.minuteStartedMs = windows.minuteStartedMs;
  key.minuteRequests = windows.requests + 1;
  key.day = dayOf(atMs);
  key.dayTokens = windows.tokens + tokens;
}

/** Adds tokens to the day they belong to, or takes them back; a day that has passed is left alone. */
export function adjustDay(key: ModelKey, day: number, tokens: number): void {
  if (key.day === day) key.dayTokens = Math.max(0, key.dayTokens + tokens);
}

export function minuteEndsMs(windows: KeyWindows): number {
  return windows.minuteStartedMs + MINUTE_MS;
}

export function dayEndsMs(atMs: number): number {
  return (dayOf(atMs) + 1) * DAY_MS;
}

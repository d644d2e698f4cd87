import type { LimitState } from '../reservations/reservation.domain.ts';

/**
 * The key's two limits after the decision, on every answer that came from one. Requests under the
 * plain names, tokens under `-Tokens`; a reset is the Unix time in seconds.
 */
export function limitHeaders(limits: LimitState): Record<string, string> {
  return {
    'x-ratelimit-limit': String(limits.requestsPerMinute),
    'x-ratelimit-remaining': String(limits.requestsRemaining),
    'x-ratelimit-reset': unixSeconds(limits.requestsResetAt),
    'x-ratelimit-limit-tokens': String(limits.tokensPerDay),
    'x-ratelimit-remaining-tokens': String(limits.tokensRemaining),
    'x-ratelimit-reset-tokens': unixSeconds(limits.tokensResetAt),
  };
}

/**
 * The same beside OpenAI's own names, whose resets are durations: where a name is in both sets
 * (`x-ratelimit-reset-tokens`), OpenAI's meaning holds on OpenAI's routes.
 */
export function openaiLimitHeaders(limits: LimitState, nowMs: number): Record<string, string> {
  return {
    ...limitHeaders(limits),
    'x-ratelimit-limit-requests': String(limits.requestsPerMinute),
    'x-ratelimit-remaining-requests': String(limits.requestsRemaining),
    'x-ratelimit-reset-requests': formatDuration(limits.requestsResetAt - nowMs),
    'x-ratelimit-reset-tokens': formatDuration(limits.tokensResetAt - nowMs),
  };
}

function unixSeconds(atMs: number): string {
  return String(Math.ceil(atMs / 1000));
}

/** As OpenAI writes it: `120ms`, `7s`, `6m0s`, `8h3m20s`. */
export function formatDuration(ms: number): string {
  if (ms < 1000) return `${Math.max(0, Math.ceil(ms))}ms`;
  const seconds = Math.ceil(ms / 1000);
  const s = `${seconds % 60}s`;
  if (seconds < 60) return s;
  const m = `${Math.floor(seconds / 60) % 60}m`;
  return seconds < 3600 ? m + s : `${Math.floor(seconds / 3600)}h${m}${s}`;
}

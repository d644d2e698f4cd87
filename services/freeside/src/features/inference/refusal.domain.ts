import type { FieldError, LimitDetail, ProblemCode } from '@arrakis/contracts';
import { formatMicro } from '@arrakis/money';
import type { HoldRefused, HoldRequest, LimitState } from '../reservations/reservation.domain.ts';

/** Why a request isn't served; the edges render it in their own envelope. */
export interface Refusal {
  readonly code: ProblemCode;
  readonly detail?: string;
  readonly errors?: FieldError[];
  readonly limit?: LimitDetail;
  /** State of the key's limits, when a decision was taken before the refusal. */
  readonly limits?: LimitState;
  readonly retryAfterSeconds?: number;
}

/**
 * Turns the ledger's refusal of a hold into what the client may know: which limit, what is left,
 * when it resets, and what smaller request would fit.
 *
 * @param nowMs milliseconds since the epoch, for `Retry-After`
 */
export function refusalOfHold(refused: HoldRefused, request: HoldRequest, nowMs: number): Refusal {
  switch (refused.code) {
    case 'invalid_api_key':
      return { code: 'invalid_api_key' };
    case 'insufficient_credits':
      return withLimits(refused, creditRefusal(refused));
    case 'rate_limited':
      return withLimits(refused, requestRefusal(refused.limits, nowMs));
    case 'token_limit_reached':
      return withLimits(refused, tokenRefusal(refused, request, nowMs));
  }
}

function withLimits(refused: HoldRefused, refusal: Refusal): Refusal {
  return refused.limits === undefined ? refusal : { ...refusal, limits: refused.limits };
}

function creditRefusal(refused: HoldRefused): Refusal {
  const required = formatMicro(refused.requiredMicro);
  const remaining = formatMicro(refused.availableMicro);
  return {
    code: 'insufficient_credits',
    detail: `This request may cost up to ${required} micro-credits and ${remaining} are available; ${fits(refused.maxTokensThatFit)}`,
    limit: {
      limit: 'credits',
      remaining,
      required,
      maxTokensThatFit: refused.maxTokensThatFit,
    },
  };
}

function requestRefusal(limits: LimitState | undefined, nowMs: number): Refusal {
  const allowed = String(limits?.requestsPerMinute ?? 0);
  return {
    code: 'rate_limited',
    detail: `The API key may make ${allowed} requests a minute.`,
    limit: {
      limit: 'requests_per_minute',
      allowed,
      remaining: String(limits?.requestsRemaining ?? 0),
      required: '1',
      ...resetsAt(limits?.requestsResetAt),
      maxTokensThatFit: 0,
    },
    retryAfterSeconds: secondsUntil(limits?.requestsResetAt, nowMs),
  };
}

function tokenRefusal(refused: HoldRefused, request: HoldRequest, nowMs: number): Refusal {
  const { limits } = refused;
  const required = String(request.promptTokens + request.maxTokens);
  const remaining = String(limits?.tokensRemaining ?? 0);
  return {
    code: 'token_limit_reached',
    detail: `This request may use up to ${required} tokens and ${remaining} are left today; ${fits(refused.maxTokensThatFit)}`,
    limit: {
      limit: 'tokens_per_day',
      allowed: String(limits?.tokensPerDay ?? 0),
      remaining,
      required,
      ...resetsAt(limits?.tokensResetAt),
      maxTokensThatFit: refused.maxTokensThatFit,
    },
    retryAfterSeconds: secondsUntil(limits?.tokensResetAt, nowMs),
  };
}

function fits(maxTokens: number): string {
  return maxTokens > 0
    ? `max_tokens up to ${maxTokens} would fit.`
    : 'not even one completion token would fit.';
}

function resetsAt(atMs: number | undefined): { resetsAt?: string } {
  return atMs === undefined ? {} : { resetsAt: new Date(atMs).toISOString() };
}

/** Whole seconds until `atMs`, at least one, so that a client never retries in a busy loop. */
function secondsUntil(atMs: number | undefined, nowMs: number): number {
  return atMs === undefined ? 1 : Math.max(1, Math.ceil((atMs - nowMs) / 1000));
}

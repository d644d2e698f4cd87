import type { ProblemCode } from '@arrakis/contracts';
import type { ReleaseReason } from '../reservations/reservation.domain.ts';
import type { Refusal } from './refusal.domain.ts';

/** finn didn't answer, or not with an answer. The client's own leaving is not among these. */
export type FinnFailure =
  | {
      readonly kind: 'refused';
      readonly status: number;
      readonly code: ProblemCode | undefined;
      readonly detail: string | undefined;
    }
  | {
      readonly kind: 'unavailable';
      readonly reason: string;
      readonly retryAfterSeconds: number | undefined;
    }
  | { readonly kind: 'breaker_open'; readonly retryAfterSeconds: number };

/** Refusals of finn that are about the client's request; the others are between it and us. */
const MEANT_FOR_CLIENTS: ReadonlySet<ProblemCode> = new Set([
  'invalid_request',
  'agent_not_found',
  'pool_not_allowed',
  'unprocessable',
  'body_too_large',
]);

const RETRY_AFTER_SECONDS = 5;
const MAX_RETRY_AFTER_SECONDS = 60;

/** What the client is told when no answer began. */
export function refusalOfCall(failure: FinnFailure): Refusal {
  switch (failure.kind) {
    case 'refused':
      if (failure.code === undefined || !MEANT_FOR_CLIENTS.has(failure.code)) {
        return { code: 'inference_failed', retryAfterSeconds: RETRY_AFTER_SECONDS };
      }
      return {
        code: failure.code,
        ...(failure.detail === undefined ? {} : { detail: failure.detail }),
      };
    case 'unavailable':
    case 'breaker_open':
      return {
        code: 'inference_unavailable',
        detail: 'The model cannot be reached at the moment; nothing was charged.',
        retryAfterSeconds: Math.min(
          MAX_RETRY_AFTER_SECONDS,
          failure.retryAfterSeconds ?? RETRY_AFTER_SECONDS,
        ),
      };
  }
}

/** What the client is told when an answer broke off before anything of it could be passed on. */
export function refusalOfEnd(reason: string): Refusal {
  return reason === 'timeout'
    ? {
        code: 'inference_unavailable',
        detail: 'The model took too long; nothing was charged.',
        retryAfterSeconds: RETRY_AFTER_SECONDS,
      }
    : {
        code: 'inference_failed',
        detail: 'The model gave no answer; nothing was charged.',
        retryAfterSeconds: RETRY_AFTER_SECONDS,
      };
}

export function releaseReasonOf(failure: FinnFailure): ReleaseReason {
  switch (failure.kind) {
    case 'refused':
      return 'refused';
    case 'breaker_open':
      return 'inference_unavailable';
    case 'unavailable':
      return failure.reason === 'timeout' ? 'timeout' : 'inference_unavailable';
  }
}

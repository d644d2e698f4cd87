import type { FieldError, ProblemCode } from '@arrakis/contracts';

/** Why the caller gets no answer, as it may know it. */
export interface Refusal {
  readonly code: ProblemCode;
  readonly detail?: string;
  readonly errors?: FieldError[];
  readonly retryAfterSeconds?: number;
}

export const REFUSALS = {
  agentNotFound: { code: 'agent_not_found' },
  tokenReused: { code: 'invalid_token' },
  reservationUsed: { code: 'reservation_used' },
  poolNotAllowed: { code: 'pool_not_allowed' },
  storeAway: { code: 'service_unavailable', retryAfterSeconds: 1 },
  spoolFull: {
    code: 'service_unavailable',
    detail: 'Usage cannot be recorded at the moment.',
    retryAfterSeconds: 5,
  },
  shuttingDown: { code: 'inference_unavailable', retryAfterSeconds: 1 },
  timedOut: { code: 'inference_failed', detail: 'The model did not answer in time.' },
  failed: { code: 'inference_failed', detail: 'No model of the pool gave an answer.' },
  rejected: { code: 'unprocessable', detail: 'The model does not accept this request.' },
  tooLong: {
    code: 'unprocessable',
    detail: 'The prompt and max_tokens exceed the context of every model of the pool.',
  },
} as const satisfies Record<string, Refusal>;

export function unavailable(retryAfterSeconds: number): Refusal {
  return { code: 'inference_unavailable', retryAfterSeconds };
}

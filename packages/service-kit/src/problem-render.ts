import type { Problem } from '@arrakis/contracts';
import { headerText } from './http/header-text.ts';
import { toOpenAiError } from './openai-error.ts';

/** Which shape a client of a path expects of an error. */
export type Envelope = 'problem' | 'openai';

export interface RenderedProblem {
  readonly status: number;
  /** Lower-case names; values that any HTTP writer takes. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

const DEFAULT_RETRY_AFTER_SECONDS = '1';

/**
 * A problem as status, headers and body: for the error handler, and for a route that has hijacked
 * its reply. A 503 always says when to come back; `X-Request-Id` repeats the problem's.
 */
export function renderProblem(
  problem: Problem,
  envelope: Envelope,
  headers: Readonly<Record<string, string>> = {},
): RenderedProblem {
  const openai = envelope === 'openai';
  return {
    status: problem.status,
    headers: {
      ...(problem.status === 503 ? { 'retry-after': DEFAULT_RETRY_AFTER_SECONDS } : {}),
      ...cleanHeaders(headers),
      'cache-control': 'no-store',
      'x-request-id': problem.requestId,
      'content-type': openai ? 'application/json; charset=utf-8' : 'application/problem+json',
    },
    body: JSON.stringify(openai ? toOpenAiError(problem) : problem),
  };
}

function cleanHeaders(headers: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(headers).map(([name, value]) => [name.toLowerCase(), headerText(value)]),
  );
}

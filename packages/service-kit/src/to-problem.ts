import { problem, type FieldError, type Problem, type ProblemCode } from '@arrakis/contracts';
import { schemaFaults, type SchemaFault } from './http/schema-faults.ts';
import { ProblemError } from './problem-error.ts';

interface Refusal {
  readonly code: ProblemCode;
  readonly errors?: FieldError[];
}

/** What Fastify itself refuses, by its error codes. */
const FRAMEWORK_REFUSALS: Readonly<Record<string, Refusal>> = {
  FST_ERR_CTP_EMPTY_JSON_BODY: { code: 'malformed_json' },
  FST_ERR_CTP_INVALID_JSON_BODY: { code: 'malformed_json' },
  FST_ERR_CTP_BODY_TOO_LARGE: { code: 'body_too_large' },
  FST_ERR_CTP_INVALID_MEDIA_TYPE: { code: 'unsupported_media_type' },
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: {
    code: 'invalid_request',
    errors: [{ field: 'header:content-length', reason: 'does not match the body' }],
  },
  FST_ERR_BAD_URL: {
    code: 'invalid_request',
    errors: [{ field: 'path', reason: 'is not a valid path' }],
  },
  FST_ERR_MAX_PARAM_LENGTH: { code: 'uri_too_long' },
  FST_ERR_NOT_FOUND: { code: 'not_found' },
};

/** For refusals of Fastify's plugins, which are known only by their status. */
const CODE_OF_STATUS = new Map<number, ProblemCode>([
  [400, 'invalid_request'],
  [401, 'unauthorized'],
  [403, 'forbidden'],
  [404, 'not_found'],
  [405, 'method_not_allowed'],
  [408, 'request_timeout'],
  [413, 'body_too_large'],
  [414, 'uri_too_long'],
  [415, 'unsupported_media_type'],
  [422, 'unprocessable'],
  [429, 'rate_limited'],
  [503, 'service_unavailable'],
]);

/**
 * Whatever was thrown, as the problem its caller may see. Only a {@link ProblemError} and the
 * framework's own refusals are told apart; everything else is `internal`, without a word of it.
 */
export function toProblem(error: unknown, requestId: string): Problem {
  if (error instanceof ProblemError) {
    return problem({
      code: error.code,
      requestId,
      detail: error.detail,
      errors: error.errors,
      limit: error.limit,
    });
  }
  const refusal = frameworkRefusal(error);
  return problem({ code: refusal?.code ?? 'internal', requestId, errors: refusal?.errors });
}

/** Headers that belong to the refusal; none unless it is a {@link ProblemError}. */
export function headersOf(error: unknown): Readonly<Record<string, string>> {
  return error instanceof ProblemError ? (error.headers ?? {}) : {};
}

function frameworkRefusal(error: unknown): Refusal | undefined {
  if (!(error instanceof Error) || !('code' in error) || typeof error.code !== 'string') {
    return undefined;
  }
  if (error.code === 'FST_ERR_VALIDATION') {
    return { code: 'invalid_request', errors: schemaFaults(error as Error & SchemaFault) };
  }
  const known = FRAMEWORK_REFUSALS[error.code];
  if (known !== undefined) return known;
  // Any error may carry a statusCode (a failed call of ours, for one): trust only the framework's.
  if (!error.code.startsWith('FST_') || !('statusCode' in error)) return undefined;
  const code = CODE_OF_STATUS.get(Number(error.statusCode));
  return code === undefined ? undefined : { code };
}

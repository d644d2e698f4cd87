import type { FieldError, LimitDetail, Problem, ProblemCode } from '@arrakis/contracts';

/**
 * OpenAI's error envelope. `message`, `type`, `param` and `code` are what its API sends and its
 * SDKs read; the other members of `error` are ours, so that nothing of the problem is lost (an SDK
 * hands the whole `error` object to its caller).
 */
export interface OpenAiError {
  readonly error: {
    readonly message: string;
    readonly type: string;
    readonly param: string | null;
    readonly code: string | null;
    /** Our own code, from the closed table of problems. */
    readonly problem: string;
    readonly errors?: FieldError[];
    readonly limit?: LimitDetail;
  };
  readonly request_id: string;
}

interface OpenAiKind {
  readonly type: string;
  readonly code: string | null;
}

const INVALID_REQUEST = 'invalid_request_error';

/** Where OpenAI's type or code differ from `invalid_request_error` and our own code. */
const KINDS: Partial<Record<ProblemCode, OpenAiKind>> = {
  malformed_json: { type: INVALID_REQUEST, code: null },
  invalid_request: { type: INVALID_REQUEST, code: 'invalid_value' },
  unauthorized: { type: INVALID_REQUEST, code: null },
  invalid_api_key: { type: INVALID_REQUEST, code: 'invalid_api_key' },
  insufficient_credits: { type: 'insufficient_quota', code: 'insufficient_quota' },
  not_found: { type: INVALID_REQUEST, code: 'unknown_url' },
  agent_not_found: { type: INVALID_REQUEST, code: 'model_not_found' },
  model_not_found: { type: INVALID_REQUEST, code: 'model_not_found' },
  pool_not_allowed: { type: INVALID_REQUEST, code: 'model_not_found' },
  method_not_allowed: { type: INVALID_REQUEST, code: 'method_not_supported' },
  rate_limited: { type: 'requests', code: 'rate_limit_exceeded' },
  token_limit_reached: { type: 'tokens', code: 'rate_limit_exceeded' },
};

/** The same problem in OpenAI's words. */
export function toOpenAiError(problem: Problem): OpenAiError {
  const { type, code } = kindOf(problem);
  const [first] = problem.errors ?? [];
  return {
    error: {
      message: messageOf(problem, first),
      type,
      param: first === undefined ? null : toParam(first.field),
      code,
      problem: problem.code,
      ...(problem.errors === undefined ? {} : { errors: problem.errors }),
      ...(problem.limit === undefined ? {} : { limit: problem.limit }),
    },
    request_id: problem.requestId,
  };
}

function kindOf(problem: Problem): OpenAiKind {
  if (problem.status >= 500) return { type: 'server_error', code: problem.code };
  return KINDS[problem.code as ProblemCode] ?? { type: INVALID_REQUEST, code: problem.code };
}

function messageOf(problem: Problem, first: FieldError | undefined): string {
  const sentence = problem.detail ?? problem.title;
  const text =
    first === undefined ? sentence : `${sentence}: '${toParam(first.field)}' ${first.reason}`;
  return /[.!?]$/.test(text) ? text : `${text}.`;
}

/** `/messages/0/role` becomes `messages[0].role`; `header:x` and `query:x` stay as they are. */
function toParam(field: string): string {
  if (!field.startsWith('/')) return field;
  return field
    .slice(1)
    .split('/')
    .map((token) => token.replaceAll('~1', '/').replaceAll('~0', '~'))
    .reduce((path, token) => {
      if (/^\d+$/.test(token)) return `${path}[${token}]`;
      return path === '' ? token : `${path}.${token}`;
    }, '');
}

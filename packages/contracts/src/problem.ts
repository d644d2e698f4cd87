import { Type, type Static } from 'typebox';

/**
 * Every refusal and failure that an HTTP client of ours can meet: one closed table from code to
 * status and title. Rendered as `application/problem+json` (RFC 9457), or in OpenAI's envelope on
 * `/v1/*`.
 */
export const PROBLEMS = {
  malformed_json: { status: 400, title: 'The body is not valid JSON' },
  invalid_request: { status: 400, title: 'The request is malformed' },
  invalid_encoding: { status: 400, title: 'A string holds characters that cannot be stored' },
  unauthorized: { status: 401, title: 'Missing or malformed credentials' },
  invalid_api_key: { status: 401, title: 'The API key is not valid' },
  invalid_token: { status: 401, title: 'The service token is not valid' },
  invalid_signature: { status: 401, title: 'The signature of the body is not valid' },
  insufficient_credits: { status: 402, title: 'The community cannot pay for this request' },
  forbidden: { status: 403, title: 'Not allowed' },
  pool_not_allowed: { status: 403, title: 'The pool is not within the tier' },
  not_found: { status: 404, title: 'No such resource' },
  agent_not_found: { status: 404, title: 'No such agent' },
  model_not_found: { status: 404, title: 'No such model' },
  pack_not_found: { status: 404, title: 'No such credit pack' },
  method_not_allowed: { status: 405, title: 'The method is not allowed here' },
  request_timeout: { status: 408, title: 'The request took too long to arrive' },
  reservation_used: { status: 409, title: 'The reservation was used before' },
  idempotency_key_reused: { status: 409, title: 'The key was used for another request before' },
  body_too_large: { status: 413, title: 'The body is too large' },
  uri_too_long: { status: 414, title: 'The path is too long' },
  unsupported_media_type: { status: 415, title: 'The content type is not supported' },
  unprocessable: { status: 422, title: 'The request is well formed but cannot be served' },
  unsupported_parameter: { status: 422, title: 'A parameter is not supported' },
  rate_limited: { status: 429, title: 'Too many requests' },
  token_limit_reached: { status: 429, title: 'The daily token limit is reached' },
  headers_too_large: { status: 431, title: 'The headers are too large' },
  internal: { status: 500, title: 'Something went wrong on our side' },
  feature_disabled: { status: 503, title: 'The feature is switched off' },
  inference_failed: { status: 503, title: 'Inference failed' },
  inference_unavailable: { status: 503, title: 'Inference temporarily unavailable' },
  service_unavailable: { status: 503, title: 'The service is temporarily unavailable' },
} as const satisfies Record<string, { status: number; title: string }>;

export type ProblemCode = keyof typeof PROBLEMS;

/** Where in the request the fault lies: a JSON pointer or `header:Name`, and why. */
export const FieldError = Type.Object({ field: Type.String(), reason: Type.String() });
export type FieldError = Static<typeof FieldError>;

/** On a 402 or 429: which limit, what is left, when it resets, and what would fit. */
export const LimitDetail = Type.Object({
  limit: Type.String(),
  allowed: Type.Optional(Type.String()),
  remaining: Type.String(),
  required: Type.Optional(Type.String()),
  /** RFC 3339; absent when only a purchase helps. */
  resetsAt: Type.Optional(Type.String()),
  /** The largest `max_tokens` that would be accepted now; 0 when none would. */
  maxTokensThatFit: Type.Integer({ minimum: 0 }),
});
export type LimitDetail = Static<typeof LimitDetail>;

export const Problem = Type.Object({
  type: Type.String(),
  title: Type.String(),
  status: Type.Integer(),
  code: Type.String(),
  detail: Type.Optional(Type.String()),
  requestId: Type.String(),
  errors: Type.Optional(Type.Array(FieldError)),
  limit: Type.Optional(LimitDetail),
});
export type Problem = Static<typeof Problem>;

export interface ProblemInit {
  readonly code: ProblemCode;
  readonly requestId: string;
  readonly detail?: string | undefined;
  readonly errors?: FieldError[] | undefined;
  readonly limit?: LimitDetail | undefined;
}

export function problem(init: ProblemInit): Problem {
  const { status, title } = PROBLEMS[init.code];
  return {
    type: `urn:arrakis:problem:${init.code}`,
    title,
    status,
    code: init.code,
    ...(init.detail === undefined ? {} : { detail: init.detail }),
    requestId: init.requestId,
    ...(init.errors === undefined ? {} : { errors: init.errors }),
    ...(init.limit === undefined ? {} : { limit: init.limit }),
  };
}

/**
 * All that may leave the process in a span. What an instrumentation, a library's update or a slip
 * adds beyond it is dropped where spans are exported, so a name missing here shows as a gap, never
 * as a leak. No wallet, NFT, community, key, text, address of a client or URL has a place in it.
 */

/** Routes by method and template; no others are traced. */
export const SERVER_SPANS = [
  'POST /api/v1/inference',
  'POST /v1/chat/completions',
  'GET /v1/models',
  'GET /v1/models/:model',
  'GET /api/v1/balance',
  'GET /api/v1/usage/:requestId',
] as const;

/** What our own code opens, see `inSpan`. */
const INNER_SPANS = [
  'ledger hold',
  'ledger settle',
  'ledger release',
  'verify token',
  'provider answer',
  'publish usage',
  'process usage',
] as const;

/** Requests that we send, named by their method as the semantic conventions have it. */
const CLIENT_SPANS = ['GET', 'POST'] as const;

export type SpanName = (typeof INNER_SPANS)[number];

export const SPAN_NAMES: ReadonlySet<string> = new Set<string>([
  ...SERVER_SPANS,
  ...INNER_SPANS,
  ...CLIENT_SPANS,
]);

type Value = string | number | boolean;
type Shape = (value: unknown) => value is Value;

const matching =
  (pattern: RegExp): Shape =>
  (value): value is string =>
    typeof value === 'string' && pattern.test(value);
const count: Shape = (value): value is number => typeof value === 'number' && value >= 0;

const word = matching(/^[A-Za-z0-9_.-]{1,64}$/);
const uuid = matching(/^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);

/** Key and shape of each attribute: a value of another shape is dropped like an unknown key. */
export const ATTRIBUTES = {
  'http.request.method': matching(/^[A-Z]{1,16}$/),
  'http.route': matching(/^\/[\w/.:-]{0,127}$/),
  'http.response.status_code': count,
  /** Of the server that we call: finn or a vendor. */
  'server.address': matching(/^[A-Za-z0-9.:[\]-]{1,253}$/),
  'server.port': count,
  /** A code or a class of errors, never a message. */
  'error.type': word,
  /** Names the reservation too. */
  'arrakis.request_id': uuid,
  /** How it ended: `answered`, the code of a refusal, a hold's decision. */
  'arrakis.outcome': word,
  'arrakis.pool': word,
  /** Of finn's pool file. */
  'arrakis.target': matching(/^[\x20-\x7e]{1,128}$/),
  'arrakis.time_to_first_token_ms': count,
  /** As the operator's pool file names it. */
  'gen_ai.request.model': matching(/^[\x20-\x7e]{1,200}$/),
  'gen_ai.usage.input_tokens': count,
  'gen_ai.usage.output_tokens': count,
} as const satisfies Record<string, Shape>;

export type AttributeName = keyof typeof ATTRIBUTES;
export type SpanAttributes = Readonly<Partial<Record<AttributeName, Value>>>;

/** Those of `attributes` that may be exported. */
export function allowedAttributes(
  attributes: Readonly<Record<string, unknown>>,
): Record<string, Value> {
  const allowed: Record<string, Value> = {};
  for (const [key, value] of Object.entries(attributes)) {
    if (!isAllowed(key)) continue;
    const fits: Shape = ATTRIBUTES[key];
    if (fits(value)) allowed[key] = value;
  }
  return allowed;
}

function isAllowed(key: string): key is AttributeName {
  return Object.hasOwn(ATTRIBUTES, key);
}

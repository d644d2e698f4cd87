/** What a client may rely on beside the body, for `/openapi.json`. */

interface Header {
  readonly description: string;
  readonly required: boolean;
  readonly schema: object;
}

const text = { type: 'string', minLength: 1 };

/** Each described once, under the name by which responses refer to it. */
const HEADERS = {
  'X-Request-Id': {
    description: 'Names this request in receipts, logs and support; a UUIDv7.',
    required: true,
    schema: { type: 'string', pattern: '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' },
  },
  'WWW-Authenticate': {
    description:
      'What would be accepted: the challenge of RFC 6750 where a bearer token is asked for, `NOWPayments-Signature` where a signed notice is.',
    required: true,
    schema: text,
  },
  Allow: { description: 'The methods that this path has.', required: true, schema: text },
  'Retry-After': {
    description: 'Seconds after which the same request may succeed.',
    required: true,
    schema: { type: 'string', pattern: '^[1-9][0-9]*$' },
  },
} as const satisfies Record<string, Header>;

type HeaderName = keyof typeof HEADERS;

const OF_STATUS: Readonly<Record<string, readonly HeaderName[]>> = {
  401: ['WWW-Authenticate'],
  405: ['Allow'],
  429: ['Retry-After'],
  503: ['Retry-After'],
};

/** Names of the headers that every answer of that status has, whatever the route. */
export function headersOfStatus(status: string): readonly string[] {
  return ['X-Request-Id', ...(OF_STATUS[status] ?? [])];
}

export const headerComponents: Readonly<Record<string, Header>> = HEADERS;

import { INFERENCE, JSON_TYPE } from './front.ts';
import { head } from './raw-http.ts';

/** What is sent, with a good key where it says so, and the one answer that it gets. */
export type HeadAttack = [
  what: string,
  bytes: (authorization: string) => string,
  status: number,
  code: string,
  field?: string | undefined,
];

const CLOSE = 'Connection: close';
const get = (path: string, status: number, code: string, field?: string): HeadAttack => [
  `the path ${path.length > 60 ? `${path.slice(0, 30)}… of ${path.length}` : path}`,
  (authorization) => head(`GET ${path} HTTP/1.1`, authorization, CLOSE),
  status,
  code,
  field,
];
const withHeaders = (
  what: string,
  headers: readonly string[],
  status: number,
  code: string,
  field?: string,
): HeadAttack => [
  what,
  (authorization) =>
    head(
      'GET /api/v1/balance HTTP/1.1',
      ...headers.map((one) => one.replace('KEY', authorization.slice(15))),
      CLOSE,
    ),
  status,
  code,
  field,
];

const PATHS: readonly HeadAttack[] = [
  get('/api/v1/%62alance/', 404, 'not_found'),
  get('/api/v1/%2e%2e/v1/balance', 404, 'not_found'),
  get('/api/v1/../v1/balance', 404, 'not_found'),
  get('/api/v1/./balance', 404, 'not_found'),
  get('//api/v1/balance', 404, 'not_found'),
  get('/api//v1/balance', 404, 'not_found'),
  get('/api%2fv1%2fbalance', 404, 'not_found'),
  get('/api/v1\\balance', 404, 'not_found'),
  get('/api/v1/balance;admin=1', 404, 'not_found'),
  get('/api/v1;x=1/balance', 404, 'not_found'),
  get('/api/v1/balance.', 404, 'not_found'),
  get('/api/v1/balance.json', 404, 'not_found'),
  get('/api/v1/balance%20', 404, 'not_found'),
  get('/api/v1/balance%00', 404, 'not_found'),
  get('/v1/models/%00', 400, 'invalid_encoding', 'path'),
  get('/api/v1/balance%0d%0aX-Injected:%201', 404, 'not_found'),
  get('/API/V1/BALANCE', 404, 'not_found'),
  get('/v1/models/%c0%ae%c0%ae', 400, 'invalid_request'),
  get('/v1/models/%ed%a0%80', 400, 'invalid_request'),
  get('/v1/models/%', 400, 'invalid_request'),
  get('/v1/models/%u0041', 400, 'invalid_request'),
  get('/v1/models/..%2f..%2fhealth', 404, 'model_not_found'),
  get('/v1/models/__proto__', 404, 'model_not_found'),
  get('/v1/models/constructor', 404, 'model_not_found'),
  get('/v1/models/%ef%bc%81', 404, 'model_not_found'),
  get('/api/v1/usage/__proto__', 400, 'invalid_request', 'path:requestId'),
  get("/api/v1/usage/1'%20OR%20'1'='1", 400, 'invalid_request', 'path:requestId'),
  get('/docs/static/..%2f..%2f..%2fpackage.json', 404, 'not_found'),
  get('/docs/static/%2e%2e/%2e%2e/package.json', 403, 'forbidden'),
  get('/docs/static/....//....//package.json', 403, 'forbidden'),
  get(`/${'a'.repeat(15_000)}`, 404, 'not_found'),
  get(`/${'a/'.repeat(7_500)}`, 404, 'not_found'),
  get(`/v1/models/${'a'.repeat(15_000)}`, 414, 'uri_too_long'),
  get(`/${'a'.repeat(20_000)}`, 431, 'headers_too_large'),
];

const HEADERS: readonly HeadAttack[] = [
  withHeaders(
    'two keys, both good',
    ['Authorization: KEY', 'Authorization: KEY'],
    400,
    'invalid_request',
    'header:authorization',
  ),
  withHeaders(
    'two keys, in other letters',
    ['Authorization: KEY', 'aUTHORIZATION: Bearer x'],
    400,
    'invalid_request',
    'header:authorization',
  ),
  withHeaders('two keys in one header', ['Authorization: KEY, KEY'], 401, 'unauthorized'),
  withHeaders('a key as a query would have it', ['X-Api-Key: KEY'], 401, 'unauthorized'),
  withHeaders(
    'a key of bytes beyond ASCII',
    ['Authorization: Bearer \xe9\xff'],
    401,
    'unauthorized',
  ),
  withHeaders(
    'a key behind many blanks',
    [`Authorization: Bearer${' '.repeat(5_000)}x`],
    401,
    'unauthorized',
  ),
  withHeaders('a key on a folded line', ['Authorization: Bearer', ' x'], 400, 'invalid_request'),
  withHeaders('a header of 20 kB', [`X-A: ${'a'.repeat(20_000)}`], 431, 'headers_too_large'),
  withHeaders(
    'thousands of headers',
    Array.from({ length: 3_000 }, () => 'a: b'),
    431,
    'headers_too_large',
  ),
  withHeaders(
    'headers named like members of every object',
    ['__proto__: x', 'constructor: y', 'toString: z'],
    401,
    'unauthorized',
  ),
  [
    'a key behind two thousand other headers',
    (authorization) =>
      head(
        'GET /api/v1/nothing HTTP/1.1',
        ...Array.from({ length: 1_500 }, () => 'a:b'),
        authorization,
        CLOSE,
      ),
    431,
    'headers_too_large',
  ],
  [
    'a method that another header overrides',
    (authorization) =>
      head(
        `GET ${INFERENCE} HTTP/1.1`,
        authorization,
        'X-HTTP-Method-Override: POST',
        'X-Method: POST',
        CLOSE,
      ),
    405,
    'method_not_allowed',
  ],
  [
    'a method that the query overrides',
    (authorization) => head(`GET ${INFERENCE}?_method=POST HTTP/1.1`, authorization, CLOSE),
    405,
    'method_not_allowed',
  ],
  [
    'two content types',
    (authorization) =>
      head(
        `POST ${INFERENCE} HTTP/1.1`,
        authorization,
        JSON_TYPE,
        JSON_TYPE,
        'Content-Length: 2',
        CLOSE,
      ) + '{}',
    415,
    'unsupported_media_type',
  ],
  [
    'two hosts',
    (authorization) => head('GET /health HTTP/1.1', 'Host: other', authorization, CLOSE),
    400,
    'invalid_request',
    'header:host',
  ],
  [
    'an expectation that nobody meets',
    (authorization) => head('GET /health HTTP/1.1', 'Expect: spice', authorization, CLOSE),
    400,
    'invalid_request',
    'header:expect',
  ],
];

export const HEAD_ATTACKS: readonly HeadAttack[] = [...PATHS, ...HEADERS];

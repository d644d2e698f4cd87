import { CHAT, INFERENCE, JSON_TYPE } from './front.ts';
import { head } from './raw-http.ts';

/**
 * Requests whose end two parsers might see at different places. Each is followed by a second request
 * that one of them might take for a part of the first. All are refused, once, and the connection is
 * closed: the second must never be answered.
 */
export type FramingAttack = readonly [what: string, bytes: (authorization: string) => string];

/** Nobody by that name: were it let through, it would be a 404 and cost nothing. */
export const BODY = '{"nft_id":"nobody","prompt":"Hi"}';
export const SMUGGLED = head('GET /health HTTP/1.1');
const LENGTH = String(BODY.length);
const SIZE = BODY.length.toString(16);
const CHUNKS = `${SIZE}\r\n${BODY}\r\n0\r\n\r\n`;

const post = (what: string, headers: readonly string[], body = CHUNKS): FramingAttack => [
  what,
  (authorization) =>
    head(`POST ${INFERENCE} HTTP/1.1`, authorization, JSON_TYPE, ...headers) + body + SMUGGLED,
];
const coding = (what: string, ...values: readonly string[]): FramingAttack =>
  post(
    `a transfer coding ${what}`,
    values.map((value) => `Transfer-Encoding: ${value}`),
  );
const length = (what: string, value: string): FramingAttack =>
  post(`a length ${what}`, [`Content-Length: ${value}`], BODY);
const chunks = (what: string, body: string): FramingAttack =>
  post(`a chunk ${what}`, ['Transfer-Encoding: chunked'], body);
const line = (what: string, bytes: string): FramingAttack => [what, () => bytes + SMUGGLED];

export const FRAMING_ATTACKS: readonly FramingAttack[] = [
  post('a length before a transfer coding', [
    `Content-Length: ${LENGTH}`,
    'Transfer-Encoding: chunked',
  ]),
  post('a length after a transfer coding', ['Transfer-Encoding: chunked', 'Content-Length: 0']),
  coding('that is unknown', 'xchunked'),
  coding('that is quoted', '"chunked"'),
  coding('behind a vertical tab', '\x0bchunked'),
  coding('before identity', 'chunked, identity'),
  coding('behind identity', 'identity, chunked'),
  coding('behind gzip', 'gzip, chunked'),
  coding('given twice', 'chunked', 'chunked'),
  coding('given twice, once in vain', 'identity', 'chunked'),
  coding('with a comma too many', 'chunked,'),
  post('a blank before the colon', ['Transfer-Encoding : chunked']),
  post('a coding on a folded line', ['Transfer-Encoding:', ' chunked']),
  post('a header on a folded line', ['X-A: b', ' Transfer-Encoding: chunked'], BODY),
  post('the same length twice', [`Content-Length: ${LENGTH}`, `Content-Length: ${LENGTH}`], BODY),
  post('two lengths', [`Content-Length: ${LENGTH}`, 'Content-Length: 0'], BODY),
  length('as a list', `${LENGTH}, ${LENGTH}`),
  length('with a plus', `+${LENGTH}`),
  length('below zero', `-${LENGTH}`),
  length('in base 16', `0x${SIZE}`),
  length('with an exponent', '1e2'),
  length('in two parts', `${LENGTH} 0`),
  length('of nothing', ''),
  length('beyond 64 bits', '99999999999999999999999999'),
  chunks('that ends with LF alone', `${SIZE}\n${BODY}\n0\n\n`),
  chunks('without its end', `${SIZE}\r\n${BODY}XX0\r\n\r\n`),
  chunks('extension that ends with LF alone', `${SIZE};a\n${BODY}\r\n0\r\n\r\n`),
  chunks('extension without end', `${SIZE};${'a'.repeat(20_000)}\r\n${BODY}\r\n0\r\n\r\n`),
  chunks('size beyond 64 bits', `FFFFFFFFFFFFFFFFF\r\n${BODY}\r\n0\r\n\r\n`),
  chunks('size below zero', `-1\r\n${BODY}\r\n0\r\n\r\n`),
  chunks('size with 0x', `0x${SIZE}\r\n${BODY}\r\n0\r\n\r\n`),
  chunks('size with a blank', `${SIZE} \r\n${BODY}\r\n0\r\n\r\n`),
  chunks('size of nothing', `\r\n${BODY}\r\n0\r\n\r\n`),
  chunks('trailer with a length', `${SIZE}\r\n${BODY}\r\n0\r\nContent-Length: 5\r\n\r\n`),
  ['lines that end with LF alone', (authorization) => lines('\n', authorization)],
  [
    'one line that ends with LF alone',
    (authorization) =>
      head(
        `POST ${INFERENCE} HTTP/1.1`,
        authorization,
        JSON_TYPE,
        `Content-Length: ${LENGTH}\nX: y`,
      ) +
      BODY +
      SMUGGLED,
  ],
  [
    'one line that ends with CR alone',
    (authorization) =>
      head(`POST ${INFERENCE} HTTP/1.1`, authorization, 'X: y\rTransfer-Encoding: chunked') + BODY,
  ],
  [
    'a transfer coding in HTTP/1.0',
    (authorization) =>
      head(`POST ${INFERENCE} HTTP/1.0`, authorization, JSON_TYPE, 'Transfer-Encoding: chunked') +
      CHUNKS +
      SMUGGLED,
  ],
  line('HTTP/0.9', 'GET /health\r\n\r\n'),
  line('HTTP/2.0', head('GET /health HTTP/2.0')),
  line('HTTP/1.2', head('GET /health HTTP/1.2')),
  line('HTTP/1.10', head('GET /health HTTP/1.10')),
  line('the preface of HTTP/2', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'),
  line('a protocol in small letters', head('GET /health http/1.1')),
  line('a target with a host of its own', head('GET http://elsewhere/health HTTP/1.1')),
  line('a target with a host of its own, unknown', head('GET http://elsewhere/v1/x HTTP/1.1')),
  line('a target without a slash', head('GET health HTTP/1.1')),
  line('a host that is none', head('GET /health HTTP/1.1').replace('arrakis', 'a b/c@d')),
  line('a blank before the method', ` ${head('GET /health HTTP/1.1')}`),
  line('tabs between the parts', head('GET\t/health\tHTTP/1.1')),
  line('a blank within the path', head('GET /hea lth HTTP/1.1')),
  line('a method in small letters', head('get /health HTTP/1.1')),
  line('an unknown method', head('SPICE /health HTTP/1.1')),
  line('a header without a name', head('GET /health HTTP/1.1', ': x')),
  line('a header without a colon', head('GET /health HTTP/1.1', 'spice')),
  line('NUL in a header', head('GET /health HTTP/1.1', 'X-A: a\0b')),
  line('a header’s name beyond ASCII', head('GET /health HTTP/1.1', 'X-\xe9: a')),
  line('a path of bytes beyond ASCII', head('GET /h\xe9 HTTP/1.1')),
  [
    'a target with a host of its own, with a key',
    (authorization) =>
      head(`POST http://elsewhere${CHAT} HTTP/1.1`, authorization, JSON_TYPE, 'Content-Length: 2') +
      '{}' +
      SMUGGLED,
  ],
];

function lines(end: string, authorization: string): string {
  const request = head(
    `POST ${INFERENCE} HTTP/1.1`,
    authorization,
    JSON_TYPE,
    `Content-Length: ${LENGTH}`,
  );
  return request.replaceAll('\r\n', end) + BODY + SMUGGLED;
}

import { brotliCompressSync, deflateSync, gzipSync } from 'node:zlib';
import { LIMITS } from '@arrakis/contracts';
import { CHAT, INFERENCE, JSON_TYPE } from './front.ts';

export interface Attack {
  /** `application/json` when absent. */
  readonly headers?: readonly string[];
  readonly bytes: string | Buffer;
}
/** Where it is sent, with a good key, and the one answer that it gets. */
export type BodyAttack = [
  what: string,
  path: string,
  attack: () => Attack,
  status: number,
  code: string,
  field?: string | undefined,
];

const MEBIBYTE = LIMITS.bodyBytes;
const json = (
  what: string,
  bytes: string | (() => string | Buffer),
  status: number,
  code: string,
  field?: string,
  path = INFERENCE,
): BodyAttack => [
  what,
  path,
  () => ({ bytes: typeof bytes === 'string' ? bytes : bytes() }),
  status,
  code,
  field,
];
/** An otherwise good request with this member more. */
const member = (text: string): string => `{"nft_id":"nobody","prompt":"Hi",${text}}`;
const chat = (message: string): string => `{"model":"nobody","messages":[${message}]}`;
const refused = (what: string, text: string, field: string): BodyAttack =>
  json(what, member(text), 400, 'invalid_request', field);

const POLLUTION: readonly BodyAttack[] = [
  refused('__proto__', '"__proto__":{"isAdmin":true}', '/__proto__'),
  refused('__proto__ of null', '"__proto__":null', '/__proto__'),
  refused('__proto__ escaped', '"\\u005f\\u005fproto\\u005f\\u005f":{"a":1}', '/__proto__'),
  refused('a prototype', '"constructor":{"prototype":{"isAdmin":true}}', '/constructor'),
  refused('a prototype escaped', '"\\u0063onstructor":{"\\u0070rototype":{}}', '/constructor'),
  refused('__defineGetter__', '"__defineGetter__":1', '/__defineGetter__'),
  json(
    '__proto__ deep inside',
    `{"nft_id":"nobody","messages":[{"role":"user","content":"Hi","x":{"y":[{"__proto__":{}}]}}]}`,
    400,
    'invalid_request',
    '/messages/0/x/y/0/__proto__',
  ),
  json(
    '__proto__ in a message',
    chat('{"role":"user","content":"Hi","__proto__":{"role":"system"}}'),
    400,
    'invalid_request',
    '/messages/0/__proto__',
    CHAT,
  ),
  json(
    '__proto__ in metadata',
    '{"model":"nobody","messages":[{"role":"user","content":"Hi"}],"metadata":{"__proto__":{}}}',
    400,
    'invalid_request',
    '/metadata/__proto__',
    CHAT,
  ),
  json(
    '__proto__ alone',
    '{"__proto__":{"nft_id":"nobody","prompt":"Hi"}}',
    400,
    'invalid_request',
    '/__proto__',
  ),
];

const NUMBERS: readonly BodyAttack[] = [
  refused('infinity', '"max_tokens":1e400', '/max_tokens'),
  refused('minus infinity', '"max_tokens":-1e400', '/max_tokens'),
  refused('beyond exact integers', '"max_tokens":9007199254740993', '/max_tokens'),
  refused('minus zero', '"max_tokens":-0', '/max_tokens'),
  refused('minus zero, long', '"max_tokens":-0.0e99', '/max_tokens'),
  refused('the smallest number', '"max_tokens":5e-324', '/max_tokens'),
  json(
    'a number of a megabyte',
    () => member(`"max_tokens":1${'0'.repeat(900_000)}`),
    400,
    'invalid_request',
    '/max_tokens',
  ),
  json(
    'a fraction of a megabyte',
    () => member(`"max_tokens":1.${'5'.repeat(900_000)}`),
    400,
    'invalid_request',
    '/max_tokens',
  ),
  ...['NaN', 'Infinity', '+1', '01', '1.', '.5', '0x10', '1_000', '1e', '１'].map((number) =>
    json(`the number ${number}`, member(`"max_tokens":${number}`), 400, 'malformed_json'),
  ),
];

const TEXTS: readonly BodyAttack[] = [
  json('a lone high surrogate', member('"pool":"\\ud800"'), 400, 'invalid_encoding', '/pool'),
  json(
    'a lone low surrogate in a name',
    member('"\\udfff":1'),
    400,
    'invalid_encoding',
    '/\u{fffd}',
  ),
  json(
    'surrogates in the wrong order',
    chat('{"role":"user","content":"\\udc00\\ud800"}'),
    400,
    'invalid_encoding',
    '/messages/0/content',
    CHAT,
  ),
  json(
    'NUL',
    chat('{"role":"user","content":"a\\u0000b"}'),
    400,
    'invalid_encoding',
    '/messages/0/content',
    CHAT,
  ),
  json('NUL as it is', member('"pool":"\0"'), 400, 'malformed_json'),
  json('a line break as it is', '{"nft_id":"nobody","prompt":"a\nb"}', 400, 'malformed_json'),
  json(
    'a prompt of a megabyte',
    () => `{"nft_id":"nobody","prompt":"${'a'.repeat(MEBIBYTE - 40)}"}`,
    413,
    'body_too_large',
    '/prompt',
  ),
  json(
    'a prompt of a megabyte of escapes',
    () => `{"nft_id":"nobody","prompt":"${'\\"'.repeat(MEBIBYTE / 2 - 20)}"}`,
    413,
    'body_too_large',
    '/prompt',
  ),
  json(
    'a prompt of a megabyte of backslashes',
    () => `{"nft_id":"nobody","prompt":"${'\\\\'.repeat(MEBIBYTE / 2 - 20)}"}`,
    413,
    'body_too_large',
    '/prompt',
  ),
  json(
    'a prompt of a megabyte of blanks',
    () => `{"nft_id":"nobody","prompt":"${' '.repeat(MEBIBYTE - 40)}"}`,
    400,
    'invalid_request',
    '/prompt',
  ),
  json(
    'a byte beyond a megabyte',
    () => `{"nft_id":"nobody","prompt":"${'a'.repeat(MEBIBYTE - 30)}"}`,
    413,
    'body_too_large',
  ),
  json(
    'a megabyte of blanks around it',
    () => `${' '.repeat(MEBIBYTE - 100)}{"nft_id":"nobody","prompt":"Hi"}`,
    404,
    'agent_not_found',
  ),
  json(
    'a name of a megabyte',
    () => member(`"${'a'.repeat(MEBIBYTE - 60)}":1`),
    400,
    'invalid_request',
    `/${'a'.repeat(64)}…`,
  ),
  json(
    'invalid UTF-8',
    () =>
      Buffer.concat([
        Buffer.from('{"nft_id":"nobody","prompt":"'),
        Buffer.of(0xc3, 0x28),
        Buffer.from('"}'),
      ]),
    400,
    'invalid_encoding',
    '/',
  ),
  json(
    'overlong UTF-8',
    () =>
      Buffer.concat([
        Buffer.from('{"nft_id":"nobody","prompt":"'),
        Buffer.of(0xc0, 0xaf),
        Buffer.from('"}'),
      ]),
    400,
    'invalid_encoding',
    '/',
  ),
  json(
    'a surrogate as UTF-8',
    () =>
      Buffer.concat([
        Buffer.from('{"nft_id":"nobody","prompt":"'),
        Buffer.of(0xed, 0xa0, 0x80),
        Buffer.from('"}'),
      ]),
    400,
    'invalid_encoding',
    '/',
  ),
  json(
    'half a character at the end',
    () => Buffer.concat([Buffer.from('{"nft_id":"nobody","prompt":"'), Buffer.of(0xe2, 0x82)]),
    400,
    'invalid_encoding',
    '/',
  ),
  json(
    'UTF-16',
    () => Buffer.from(`\u{feff}${member('"a":1')}`, 'utf16le'),
    400,
    'invalid_encoding',
    '/',
  ),
  json(
    'UTF-16 without its mark',
    () => Buffer.from(member('"a":1'), 'utf16le'),
    400,
    'malformed_json',
  ),
  json(
    'two byte order marks',
    `\u{feff}\u{feff}${member('"max_tokens":1')}`,
    400,
    'malformed_json',
  ),
];

const SHAPES: readonly BodyAttack[] = [
  json(
    '100,000 arrays in one another',
    () => '['.repeat(100_000) + ']'.repeat(100_000),
    400,
    'invalid_request',
  ),
  json('500,000 arrays that never end', () => '['.repeat(500_000), 400, 'malformed_json'),
  json(
    '100,000 objects in one another',
    () => '{"a":'.repeat(100_000) + '1' + '}'.repeat(100_000),
    400,
    'invalid_request',
  ),
  json(
    'half a million items',
    () => member(`"messages":[${'1,'.repeat(500_000)}1]`),
    400,
    'invalid_request',
    '/',
  ),
  json(
    'a quarter of a million empty objects',
    () => member(`"messages":[${'{},'.repeat(250_000)}{}]`),
    400,
    'invalid_request',
    '/',
  ),
  json(
    'ten thousand wrong messages',
    () => `{"model":"nobody","messages":[${'{"a":1,"role":2},'.repeat(3_000)}{}]}`,
    400,
    'invalid_request',
    undefined,
    CHAT,
  ),
  json(
    'a hundred thousand names',
    () => `{${Array.from({ length: 90_000 }, (_, at) => `"a${at}":1`).join()}}`,
    400,
    'invalid_request',
    '/',
  ),
  json(
    'a hundred thousand numbers as names',
    () => `{${Array.from({ length: 60_000 }, (_, at) => `"${at * 1_048_576}":1`).join()}}`,
    400,
    'invalid_request',
    '/',
  ),
  json(
    'one name a hundred thousand times',
    () => `{${'"a":1,'.repeat(140_000)}"a":1}`,
    400,
    'invalid_request',
  ),
  json('a name given twice', member('"prompt":"Ho"'), 400, 'invalid_request', '/prompt'),
  json(
    'a name given twice, once escaped',
    member('"\\u0070rompt":"Ho"'),
    400,
    'invalid_request',
    '/prompt',
  ),
  json(
    'a name given twice with much between',
    () => member(`"a" ${' '.repeat(500)}:1,"a"${' '.repeat(500)}:2`),
    400,
    'invalid_request',
  ),
  json(
    'a thousand parts of one message',
    () =>
      chat(
        `{"role":"user","content":[${'{"type":"text","text":"a"},'.repeat(1_000)}{"type":"text","text":"a"}]}`,
      ),
    400,
    'invalid_request',
    '/messages/0/content',
    CHAT,
  ),
  json('comments', '{/* Hi */"nft_id":"nobody","prompt":"Hi"}', 400, 'malformed_json'),
  json('two documents', '{"nft_id":"nobody","prompt":"Hi"}{}', 400, 'malformed_json'),
  json('quotes of another kind', "{'nft_id':'nobody'}", 400, 'malformed_json'),
];

const GOOD = '{"nft_id":"nobody","prompt":"Hi"}';
const typed = (
  what: string,
  headers: readonly string[],
  bytes: () => string | Buffer,
  field?: string,
): BodyAttack => [
  what,
  INFERENCE,
  () => ({ headers, bytes: bytes() }),
  415,
  'unsupported_media_type',
  field,
];
const bomb = (): string => ' '.repeat(16 * MEBIBYTE) + GOOD;

const TYPES: readonly BodyAttack[] = [
  typed('no type', [], () => GOOD),
  ...[
    'text/plain',
    'application/json; charset=utf-7',
    'application/json; charset=utf-16',
    'application/json;charset=utf-8;charset=utf-7',
    'application/json;version=1',
    'application/json, text/plain',
    'application/x-www-form-urlencoded',
    'application/merge-patch+json',
    '*/*',
    'application/json\xa0',
  ].map((type) => typed(`the type ${JSON.stringify(type)}`, [`Content-Type: ${type}`], () => GOOD)),
  typed(
    'a form',
    ['Content-Type: multipart/form-data; boundary=x'],
    () => `--x\r\nContent-Disposition: form-data; name="nft_id"\r\n\r\nnobody\r\n--x--`,
  ),
  typed(
    'a bomb of gzip',
    [JSON_TYPE, 'Content-Encoding: gzip'],
    () => gzipSync(bomb()),
    'header:content-encoding',
  ),
  typed(
    'a bomb of brotli',
    [JSON_TYPE, 'Content-Encoding: br'],
    () => brotliCompressSync(bomb()),
    'header:content-encoding',
  ),
  typed(
    'a bomb of deflate',
    [JSON_TYPE, 'Content-Encoding: deflate, gzip'],
    () => gzipSync(deflateSync(bomb())),
    'header:content-encoding',
  ),
  typed(
    'two encodings',
    [JSON_TYPE, 'Content-Encoding: identity', 'Content-Encoding: gzip'],
    () => GOOD,
    'header:content-encoding',
  ),
];

export const BODY_ATTACKS: readonly BodyAttack[] = [
  ...POLLUTION,
  ...NUMBERS,
  ...TEXTS,
  ...SHAPES,
  ...TYPES,
];

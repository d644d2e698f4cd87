import { createHash, createHmac } from 'node:crypto';
import { gzipSync } from 'node:zlib';
import { JSON_TYPE } from './front.ts';

export const WEBHOOK = '/api/crypto/webhook';
/** Of the vendor; a signature is a header of this name. */
const HEADER = 'x-nowpayments-sig';

/** The payment that nothing of this may move, and the secret that signs. */
export interface Target {
  readonly paymentId: string;
  readonly ipnSecret: string;
}

/** What is sent, and the one answer that it gets. */
export type NoticeAttack = [
  what: string,
  make: (target: Target) => {
    readonly line?: string;
    readonly headers: readonly string[];
    readonly bytes: string | Buffer;
  },
  status: number,
  code: string,
  field?: string | undefined,
];

const hmac = (secret: string, bytes: string | Buffer): string =>
  createHmac('sha512', secret).update(bytes).digest('hex');
const signature = (value: string): string => `${HEADER}: ${value}`;

/** A notice that would credit the payment, as text, with members changed or added. */
export function noticeText({ paymentId }: Target, change: Record<string, unknown> = {}): string {
  return JSON.stringify({
    payment_id: 5_077_125_051,
    invoice_id: null,
    payment_status: 'finished',
    pay_address: 'TVZ9nJvFAUKGwM3PLoCmRBm4nk5p8LxVEx',
    price_amount: 5,
    price_currency: 'usd',
    pay_amount: 40,
    actually_paid: 40,
    pay_currency: 'trx',
    order_id: paymentId,
    fee: { currency: 'btc', depositFee: 0.09853637216235617, withdrawalFee: 0 },
    ...change,
  });
}

const forged = (
  what: string,
  headers: (target: Target, good: string) => readonly string[],
): NoticeAttack => [
  what,
  (target) => {
    const bytes = noticeText(target);
    return { headers: [JSON_TYPE, ...headers(target, bytes)], bytes };
  },
  401,
  'invalid_signature',
];

const SIGNATURES: readonly NoticeAttack[] = [
  forged('no signature', () => []),
  forged('an empty signature', () => [signature('')]),
  forged('another secret', (_, good) => [signature(hmac('another', good))]),
  forged('an empty secret', (_, good) => [signature(hmac('', good))]),
  forged('a hash without a secret', (_, good) => [
    signature(createHash('sha512').update(good).digest('hex')),
  ]),
  forged('SHA-256', ({ ipnSecret }, good) => [
    signature(createHmac('sha256', ipnSecret).update(good).digest('hex')),
  ]),
  forged('half of it', ({ ipnSecret }, good) => [signature(hmac(ipnSecret, good).slice(0, 64))]),
  forged('one digit less', ({ ipnSecret }, good) => [signature(hmac(ipnSecret, good).slice(1))]),
  forged('one digit more', ({ ipnSecret }, good) => [signature(`${hmac(ipnSecret, good)}0`)]),
  forged('a name before it', ({ ipnSecret }, good) => [
    signature(`sha512=${hmac(ipnSecret, good)}`),
  ]),
  forged('base64', ({ ipnSecret }, good) => [
    signature(createHmac('sha512', ipnSecret).update(good).digest('base64')),
  ]),
  forged('twice, both right', ({ ipnSecret }, good) => {
    const right = signature(hmac(ipnSecret, good));
    return [right, right];
  }),
  forged('of another body', (target) => [
    signature(hmac(target.ipnSecret, noticeText(target, { price_amount: 6 }))),
  ]),
  // What a line of the vendor's prose signs: it drops what is nested.
  forged('of the outermost names alone', ({ ipnSecret }, good) => {
    const body = JSON.parse(good) as object;
    return [signature(hmac(ipnSecret, JSON.stringify(body, Object.keys(body).sort())))];
  }),
  forged('of numbers written otherwise', ({ ipnSecret }, good) => [
    signature(hmac(ipnSecret, good.replace('"price_amount":5', '"price_amount":5.0'))),
  ]),
];

/** Rightly signed, over the bytes as they are sent. */
const signed = (
  what: string,
  bytes: (target: Target) => string | Buffer,
  code: string,
  field?: string,
  status = 400,
): NoticeAttack => [
  what,
  (target) => {
    const body = bytes(target);
    return {
      headers: [JSON_TYPE, signature(hmac(target.ipnSecret, body))],
      bytes: Buffer.from(body),
    };
  },
  status,
  code,
  field,
];
const malformed = (what: string, bytes: (good: string) => string): NoticeAttack =>
  signed(what, (target) => bytes(noticeText(target)), 'malformed_json', '/');
const withNumber = (text: string): NoticeAttack =>
  malformed(`the number ${text}`, (good) => good.replace('_amount":5', `_amount":${text}`));
const withMember = (what: string, text: string): NoticeAttack =>
  malformed(what, (good) => good.replace('{', `{${text},`));
const encoded = (what: string, bytes: (good: string) => Buffer): NoticeAttack =>
  signed(what, (target) => bytes(noticeText(target)), 'invalid_encoding', '/');
const within = (good: string, ...bytes: number[]): Buffer =>
  Buffer.concat([
    Buffer.from(good.slice(0, -1)),
    Buffer.from(',"x":"'),
    Buffer.of(...bytes),
    Buffer.from('"}'),
  ]);

const TEXTS: readonly NoticeAttack[] = [
  malformed('nothing', () => ''),
  malformed('blanks', () => ' \n'),
  malformed('half of it', (good) => good.slice(0, 100)),
  malformed('something behind it', (good) => `${good}{}`),
  malformed('a comma too many', (good) => good.replace('}', ',}')),
  malformed('a comment', (good) => `/* paid */${good}`),
  malformed('other quotes', (good) => good.replaceAll('"', "'")),
  malformed('a form', () => 'payment_status=finished'),
  malformed('a line break in a text', (good) => good.replace('usd', 'us\nd')),
  malformed('NUL in a text', (good) => good.replace('usd', 'usd\\u0000')),
  malformed('half a character', (good) => good.replace('usd', '\\ud800')),
  malformed('an escape that is none', (good) => good.replace('usd', '\\x41')),
  malformed('UTF-16', (good) => Buffer.from(good, 'utf16le').toString('latin1')),
  ...['NaN', 'Infinity', '-Infinity', '+5', '05', '5.', '.5', '0x5', '5_0', '5e', '５', '--5'].map(
    withNumber,
  ),
  withMember('a name twice', '"payment_status":"waiting"'),
  withMember('a name twice, once escaped', '"payment\\u005fstatus":"waiting"'),
  withMember('__proto__', '"__proto__":{"payment_status":"finished"}'),
  withMember('__proto__ escaped', '"\\u005f_proto__":1'),
  withMember('__proto__ deep inside', '"a":[{"b":{"__proto__":null}}]'),
  withMember('too deep', `"a":${'['.repeat(17)}${']'.repeat(17)}`),
  withMember('too much', `"a":[${'1,'.repeat(256)}1]`),
  encoded('a byte that is no UTF-8', (good) => within(good, 0xff)),
  encoded('overlong UTF-8', (good) => within(good, 0xc0, 0xaf)),
  encoded('a surrogate as UTF-8', (good) => within(good, 0xed, 0xa0, 0x80)),
  encoded('half a character at the end of a text', (good) => within(good, 0xe2, 0x82)),
];

const SHAPES: readonly NoticeAttack[] = ['null', 'true', '5', '"finished"', '[]', '[{}]'].map(
  (text) => signed(`only ${text}`, () => text, 'invalid_request', '/'),
);

const NO_ID = [
  null,
  true,
  [],
  {},
  '',
  ' 1',
  '1 ',
  '1\n',
  -1,
  1.5,
  1e30,
  '0x1',
  '１',
  '1'.repeat(21),
];
const NO_AMOUNT = [
  ...[true, [], {}, '', 'ten', -1, '-0.1', '5,0', '0x5', '５', ' 5', 'NaN', '1e500', '$5'],
  '5'.repeat(61),
];
const NO_CURRENCY = [5, true, [], {}, '', 'us d', 'u.s', '€', 'x'.repeat(21)];
const NO_MOMENT = [
  ...['now', '2026-11-22', '2026-11-22T10:00:00', '2026-13-01T00:00:00Z', '10:00', true, [], {}],
  ...[-1, 1.5, '9'.repeat(16), '2026-11-22T10:00:00+99:99Z'],
];
const BAD: Readonly<Record<string, readonly unknown[]>> = {
  payment_id: [undefined, ...NO_ID],
  parent_payment_id: NO_ID.slice(1),
  invoice_id: NO_ID.slice(1),
  order_id: ['', 'é', 'a b', 'a\tb', 'x'.repeat(101), true, [], {}],
  payment_status: [undefined, null, '', 'two words', 'x'.repeat(41), 'fin\u0131shed', [], {}],
  price_amount: [undefined, null, ...NO_AMOUNT],
  price_currency: [undefined, null, ...NO_CURRENCY],
  pay_amount: NO_AMOUNT,
  actually_paid: NO_AMOUNT,
  pay_currency: NO_CURRENCY,
  updated_at: NO_MOMENT,
};
const short = (value: unknown): string =>
  value === undefined ? 'nothing' : JSON.stringify(value).slice(0, 40);

const FIELDS: readonly NoticeAttack[] = Object.entries(BAD).flatMap(([name, values]) =>
  values.map((value) =>
    signed(
      `${name} of ${short(value)}`,
      (target) => noticeText(target, { [name]: value }),
      'invalid_request',
      `/${name}`,
    ),
  ),
);

let unknownPayments = 6_000_000_000;
const UNBOUND: readonly NoticeAttack[] = [
  '00000000-0000-7000-8000-000000000000',
  '1',
  "'OR''='",
  '../../etc/passwd',
  '__proto__',
  'x'.repeat(100),
  null,
].map((order) => {
  unknownPayments += 1;
  const payment = unknownPayments;
  return signed(
    `the order ${short(order)}`,
    (target) => noticeText(target, { order_id: order, payment_id: payment }),
    'not_found',
    undefined,
    404,
  );
});

/** Rightly signed, and wrong before the body is looked at. */
const head = (
  what: string,
  change: { readonly line?: string; readonly headers?: readonly string[]; readonly pad?: number },
  status: number,
  code: string,
): NoticeAttack => [
  what,
  (target) => {
    const bytes = noticeText(target) + ' '.repeat(change.pad ?? 0);
    const own = signature(hmac(target.ipnSecret, bytes));
    const line = change.line === undefined ? {} : { line: change.line };
    return { ...line, headers: [...(change.headers ?? [JSON_TYPE]), own], bytes };
  },
  status,
  code,
];

const HEADS: readonly NoticeAttack[] = [
  ...['GET', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'].map((method) =>
    head(method, { line: `${method} ${WEBHOOK} HTTP/1.1` }, 405, 'method_not_allowed'),
  ),
  ...[`${WEBHOOK}/`, `${WEBHOOK}/x`, '/api/crypto', '/api//crypto/webhook'].map((path) =>
    head(`the path ${path}`, { line: `POST ${path} HTTP/1.1` }, 404, 'not_found'),
  ),
  ...[
    [],
    ['Content-Type: text/plain'],
    ['Content-Type: application/x-www-form-urlencoded'],
    ['Content-Type: application/json; charset=utf-16'],
    ['Content-Type: application/json, text/plain'],
    [JSON_TYPE, 'Content-Encoding: gzip'],
    [JSON_TYPE, 'Content-Encoding: br'],
  ].map((headers) =>
    head(`the headers ${headers.join(', ')}`, { headers }, 415, 'unsupported_media_type'),
  ),
  head('a body of 17 KiB', { pad: 17 * 1024 }, 413, 'body_too_large'),
  [
    'a body that is packed',
    (target) => {
      const bytes = gzipSync(noticeText(target));
      const own = signature(hmac(target.ipnSecret, bytes));
      return { headers: [JSON_TYPE, 'Content-Encoding: gzip', own], bytes };
    },
    415,
    'unsupported_media_type',
  ],
];

export const NOTICE_ATTACKS: readonly NoticeAttack[] = [
  ...SIGNATURES,
  ...TEXTS,
  ...SHAPES,
  ...FIELDS,
  ...UNBOUND,
  ...HEADS,
];

/** Of those, what is signed and whole enough to be kept for a person to look at. */
export const KEPT_ATTACKS = SHAPES.length + FIELDS.length + UNBOUND.length;

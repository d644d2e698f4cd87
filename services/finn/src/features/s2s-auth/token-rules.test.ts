import { serviceClaims } from '@arrakis/testkit';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { checkClaims } from './claims-rules.domain.ts';
import { decodeCompactToken } from './compact-token.domain.ts';
import { checkHeader } from './header-rules.domain.ts';
import { parseFlatObject } from './json-object.domain.ts';

const encode = (text: string | Uint8Array): string => Buffer.from(text).toString('base64url');
const HEADER = { alg: 'ES256', kid: 'k1', typ: 'JWT' };
const SIGNATURE = encode(new Uint8Array(64).fill(7));
const compact = (header: unknown, claims: unknown = {}, signature = SIGNATURE): string =>
  [encode(JSON.stringify(header)), encode(JSON.stringify(claims)), signature].join('.');

describe('the compact form', () => {
  test('is three canonical base64url parts', () => {
    expect(decodeCompactToken(compact(HEADER))).toMatchObject({ header: HEADER });
  });

  test.each([
    ['two parts', 'a.b', 'malformed'],
    ['four parts', `${compact(HEADER)}.x`, 'malformed'],
    ['an empty signature', `${encode('{}')}.${encode('{}')}.`, 'malformed'],
    ['padding', compact(HEADER).replace('.', '=.'), 'loose_encoding'],
    ['a space inside', compact(HEADER).replace('.', ' .'), 'loose_encoding'],
    ['a line break', `${compact(HEADER)}\n`, 'loose_encoding'],
    [
      'the alphabet of plain base64',
      compact(HEADER, {}, SIGNATURE.replace(/.$/, '+')),
      'loose_encoding',
    ],
    ['a signature in DER', compact(HEADER, {}, encode(new Uint8Array(70))), 'signature_length'],
    ['a header that is an array', compact([]), 'bad_json'],
    ['a header that is nested', compact({ ...HEADER, x: { alg: 'none' } }), 'bad_json'],
    ['ten thousand characters', compact(HEADER, { x: 'x'.repeat(10_000) }), 'malformed'],
  ])('is refused with %s', (_what, token, reason) => {
    expect(decodeCompactToken(token)).toBe(reason);
  });

  test('has one spelling only: other trailing bits are refused', () => {
    const claims = '{"a":1}';
    const canonical = encode(claims);
    const last = canonical.at(-1)!;
    const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
    const twin = canonical.slice(0, -1) + alphabet[alphabet.indexOf(last) + 1]!;
    expect(Buffer.from(twin, 'base64url').toString()).toBe(claims);
    const token = [encode(JSON.stringify(HEADER)), twin, SIGNATURE].join('.');
    expect(decodeCompactToken(token)).toBe('loose_encoding');
  });

  test('never throws, whatever it is given', () => {
    fc.assert(
      fc.property(
        fc.oneof(fc.string(), fc.base64String(), fc.string({ unit: 'binary' })),
        (text) => {
          expect(typeof decodeCompactToken(text)).toBe('string');
        },
      ),
    );
  });
});

describe('a flat object', () => {
  const parse = (text: string) => parseFlatObject(Buffer.from(text));

  test.each([
    '{"alg":"ES256","alg":"none"}',
    '{"alg":"ES256","\\u0061lg":"none"}',
    '{"a":1 , "a" : 1}',
    '{"a":{"b":1}}',
    '[]',
    'null',
    '"x"',
    '\ufeff{}',
    '{"a":1}x',
    '',
  ])('is not %s', (text) => {
    expect(parse(text)).toBeUndefined();
  });

  test('is not invalid UTF-8', () => {
    expect(
      parseFlatObject(Uint8Array.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d])),
    ).toBeUndefined();
  });

  test('may hold strings that look like members', () => {
    const value = { a: '"b":1', 'c\\"': ':', d: '{"e":"f"}', __proto__x: null };
    expect(parse(JSON.stringify(value))).toEqual(value);
  });

  test('comes out as it went in', () => {
    const scalar = fc.oneof(fc.string(), fc.integer(), fc.boolean(), fc.constant(null));
    fc.assert(
      fc.property(fc.dictionary(fc.string(), scalar), (value) => {
        expect(parse(JSON.stringify(value, null, 1))).toEqual(JSON.parse(JSON.stringify(value)));
      }),
    );
  });
});

describe('a header', () => {
  test('with ES256 and a kid is accepted, with or without typ', () => {
    expect(checkHeader(HEADER)).toEqual({ kid: 'k1' });
    expect(checkHeader({ alg: 'ES256', kid: 'k1' })).toEqual({ kid: 'k1' });
  });

  test.each([
    [{ alg: 'none' }, 'algorithm'],
    [{ alg: 'es256' }, 'algorithm'],
    [{ alg: 'HS256' }, 'algorithm'],
    [{ alg: 'RS256' }, 'algorithm'],
    [{ alg: 'ES384' }, 'algorithm'],
    [{ alg: ['ES256'] }, 'algorithm'],
    [{ kid: undefined }, 'kid'],
    [{ kid: '' }, 'kid'],
    [{ kid: '../../etc/passwd' }, 'kid'],
    [{ kid: "k1' OR 1=1" }, 'kid'],
    [{ kid: 'k1\n' }, 'kid'],
    [{ kid: 'k'.repeat(65) }, 'kid'],
    [{ kid: 7 }, 'kid'],
    [{ crit: null }, 'critical_header'],
    [{ jku: 'https://evil.example/jwks.json' }, 'key_in_header'],
    [{ jwk: null }, 'key_in_header'],
    [{ x5u: 'https://evil.example' }, 'key_in_header'],
    [{ x5c: null }, 'key_in_header'],
    [{ typ: 'at+jwt' }, 'type'],
    [{ typ: null }, 'type'],
  ])('is refused with %j', (change, reason) => {
    expect(checkHeader({ ...HEADER, ...change })).toBe(reason);
  });
});

describe('claims', () => {
  const now = 1_900_000_000;
  const check = (change: Record<string, unknown> = {}, keyIssuer?: 'loa-freeside' | 'loa-dixie') =>
    checkClaims(Buffer.from(JSON.stringify({ ...serviceClaims(now), ...change })), {
      keyIssuer,
      nowSeconds: now,
    });

  test('of the contract are accepted', () => {
    expect(check()).toHaveProperty('claims');
    expect(check({ pool: 'cheap' })).toHaveProperty('claims');
    expect(check({ iss: 'loa-dixie' }, 'loa-dixie')).toHaveProperty('claims');
  });

  test.each([
    [{ aud: ['loa-finn'] }, 'audience'],
    [{ aud: undefined }, 'audience'],
    [{ aud: 'loa-freeside' }, 'claims'],
    [{ iss: 'loa-evil' }, 'claims'],
    [{ iss: 'loa-dixie' }, 'issuer'],
    [{ tier: 'root' }, 'claims'],
    [{ pool: 'free-lunch' }, 'claims'],
    [{ jti: 'short' }, 'claims'],
    [{ jti: undefined }, 'claims'],
    [{ budget_reservation_id: 'x' }, 'claims'],
    [{ nft_id: '1:0xABC:1' }, 'claims'],
    [{ exp: undefined }, 'claims'],
    [{ iat: String(now) }, 'claims'],
    [{ exp: now + 0.5 }, 'claims'],
    [{ admin: true }, 'claims'],
    [{ exp: now + 61 }, 'lifetime'],
    [{ exp: now }, 'lifetime'],
    [{ exp: now + 1e15 }, 'lifetime'],
    [{ iat: now + 31, exp: now + 60 }, 'issued_in_future'],
    [{ iat: now - 90, exp: now - 30 }, 'expired'],
    [{ nbf: now + 31 }, 'not_yet_valid'],
    [{ nbf: 'soon' }, 'claims'],
  ])('are refused with %j', (change, reason) => {
    expect(check(change, 'loa-freeside')).toBe(reason);
  });

  test('are accepted up to the skew of clocks, either way', () => {
    expect(check({ iat: now + 30, exp: now + 90 })).toHaveProperty('claims');
    expect(check({ iat: now - 89, exp: now - 29 })).toHaveProperty('claims');
    expect(check({ nbf: now + 30 })).toHaveProperty('claims');
  });
});

import { generateSigningKey } from '@arrakis/testkit';
import { describe, expect, test } from 'vitest';
import { parseKeySet } from './jwks.domain.ts';

const good = generateSigningKey('good').publicJwk;

describe('a key set', () => {
  test('gives its keys, and whose they are', () => {
    const keys = parseKeySet({
      keys: [
        { ...good, issuer: 'loa-dixie' },
        { ...good, kid: 'b' },
      ],
    });
    expect(keys).toEqual([
      { jwk: good, issuer: 'loa-dixie' },
      { jwk: { ...good, kid: 'b' }, issuer: undefined },
    ]);
  });

  test.each([
    { ...good, kty: 'oct', k: 'c2VjcmV0' },
    { ...good, kty: 'RSA' },
    { ...good, crv: 'P-384' },
    { ...good, alg: 'HS256' },
    { ...good, alg: undefined },
    { ...good, use: 'enc' },
    { ...good, kid: '../x' },
    { ...good, kid: undefined },
    { ...good, x: 'short' },
    { ...good, d: good.x },
    { ...good, issuer: 'loa-evil' },
    null,
    'key',
  ])('leaves out %j, and keeps the others', (bad) => {
    expect(parseKeySet({ keys: [bad, { ...good, kid: 'other' }] })).toHaveLength(1);
  });

  test('has one key for one kid', () => {
    const twin = { ...generateSigningKey('good').publicJwk };
    expect(parseKeySet({ keys: [good, twin] })).toEqual([{ jwk: good, issuer: undefined }]);
  });

  test.each([undefined, null, 'x', [], { keys: {} }, { keys: null }])('is not %j', (document) => {
    expect(parseKeySet(document)).toBeUndefined();
  });

  test('is read up to a bound', () => {
    const many = Array.from({ length: 100 }, (_, index) => ({ ...good, kid: `k${index}` }));
    expect(parseKeySet({ keys: many })).toHaveLength(32);
  });
});

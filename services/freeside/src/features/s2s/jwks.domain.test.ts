import { describe, expect, it } from 'vitest';
import { matchesEtag, toServedJwk } from './jwks.domain.ts';

describe('If-None-Match', () => {
  it.each([
    [undefined, false],
    ['', false],
    ['"a"', true],
    ['W/"a"', true],
    ['"b", "a"', true],
    ['"b","c"', false],
    ['*', true],
    [' * ', true],
    ['a', false],
    ['"A"', false],
  ])('%j fits "a": %s', (header, fits) => {
    expect(matchesEtag(header, '"a"')).toBe(fits);
  });
});

describe('a served key', () => {
  it('has the public members and no other, whatever the row holds', () => {
    const row = {
      kid: 'k',
      x: 'x',
      y: 'y',
      issuer: 'loa-freeside' as const,
      d: 'private',
      createdAt: new Date(0),
    };
    expect(toServedJwk(row)).toEqual({
      kty: 'EC',
      crv: 'P-256',
      x: 'x',
      y: 'y',
      kid: 'k',
      alg: 'ES256',
      use: 'sig',
      issuer: 'loa-freeside',
    });
  });
});

import { createLocalJWKSet, decodeProtectedHeader, jwtVerify } from 'jose';
import { describe, expect, it } from 'vitest';
import { generateSigningKey, signServiceToken } from './signing-key.ts';

describe('generateSigningKey', () => {
  it('makes a pair whose public half verifies what the private half signed', async () => {
    const key = generateSigningKey('k1');
    const token = await signServiceToken(key);
    const keys = createLocalJWKSet({ keys: [key.publicJwk] });
    const { payload } = await jwtVerify(token, keys, { algorithms: ['ES256'] });
    expect(payload).toMatchObject({ iss: 'loa-freeside', aud: 'loa-finn', tier: 'standard' });
    expect(payload.exp! - payload.iat!).toBe(60);
    expect(decodeProtectedHeader(token)).toEqual({ alg: 'ES256', kid: 'k1' });
    await expect(
      jwtVerify(token, createLocalJWKSet({ keys: [generateSigningKey('k1').publicJwk] })),
    ).rejects.toThrow();
  });

  it('never shows the private half in the public one', () => {
    expect(generateSigningKey().publicJwk).not.toHaveProperty('d');
  });
});

describe('signServiceToken', () => {
  it('lets a test spoil any claim', async () => {
    const key = generateSigningKey();
    const token = await signServiceToken(key, { claims: { aud: ['loa-finn'] }, issuedAt: 1 });
    const keys = createLocalJWKSet({ keys: [key.publicJwk] });
    const { payload } = await jwtVerify(token, keys, { currentDate: new Date(2_000) });
    expect(payload).toMatchObject({ aud: ['loa-finn'], iat: 1, exp: 61 });
  });
});

import { S2SClaims, type PublicJwk } from '@arrakis/contracts';
import { decodeProtectedHeader, importJWK, jwtVerify } from 'jose';
import { Value } from 'typebox/value';
import { describe, expect, it } from 'vitest';
import { generateKeyPair, type KeyPair } from './key-pair.ts';
import { S2STokenService } from './s2s-token.service.ts';
import type { SigningKey } from './signing-key-source.ts';

const NOW = new Date('2026-11-22T07:30:12.900Z');
const SUBJECT = {
  nftId: '1:0x00000000000000000000000000000000000000aa:7',
  tier: 'pro',
  pool: 'reasoning',
  communityId: '00000000-0000-7000-8000-000000000001',
  reservationId: '0199d0a0-0000-7000-8000-000000000002',
} as const;

function signer(key: SigningKey) {
  let current = key;
  const service = new S2STokenService({
    keys: { current: () => current },
    wallClockMs: () => NOW.getTime(),
  });
  return { service, switchTo: (next: SigningKey) => void (current = next) };
}

async function verify(token: string, jwk: PublicJwk) {
  return jwtVerify(token, await importJWK(jwk, 'ES256'), {
    algorithms: ['ES256'],
    issuer: 'loa-freeside',
    audience: 'loa-finn',
    currentDate: NOW,
  });
}

describe('a service token', () => {
  const pair = generateKeyPair(NOW);

  it('is an ES256 JWT that another implementation verifies', async () => {
    const token = signer(pair).service.sign(SUBJECT);
    const { payload, protectedHeader } = await verify(token, pair.publicJwk);
    expect(protectedHeader).toEqual({ alg: 'ES256', kid: pair.kid, typ: 'JWT' });
    expect(Value.Check(S2SClaims, payload)).toBe(true);
    expect(payload).toMatchObject({
      iss: 'loa-freeside',
      aud: 'loa-finn',
      iat: Math.floor(NOW.getTime() / 1000),
      nft_id: SUBJECT.nftId,
      tier: 'pro',
      pool: 'reasoning',
      community_id: SUBJECT.communityId,
      budget_reservation_id: SUBJECT.reservationId,
    });
    expect(payload.exp! - payload.iat!).toBe(60);
    expect(payload.jti).toMatch(/^[0-9a-f-]{36}$/);
  });

  it('has a signature of 64 bytes every time', () => {
    const { service } = signer(pair);
    for (let index = 0; index < 200; index += 1) {
      const signature = service.sign(SUBJECT).split('.')[2]!;
      expect(Buffer.from(signature, 'base64url')).toHaveLength(64);
    }
  });

  it('never repeats its jti', async () => {
    const { service } = signer(pair);
    const tokens = Array.from({ length: 100 }, () => service.sign(SUBJECT));
    const ids = await Promise.all(
      tokens.map(async (token) => (await verify(token, pair.publicJwk)).payload.jti),
    );
    expect(new Set(ids).size).toBe(100);
  });

  it('is signed by the new key as soon as the source has it', async () => {
    const next = generateKeyPair(new Date(NOW.getTime() + 1000));
    const { service, switchTo } = signer(pair);
    expect(decodeProtectedHeader(service.sign(SUBJECT)).kid).toBe(pair.kid);
    switchTo(next);
    const token = service.sign(SUBJECT);
    expect(decodeProtectedHeader(token).kid).toBe(next.kid);
    await verify(token, next.publicJwk);
    await expect(verify(token, pair.publicJwk)).rejects.toThrow();
  });
});

describe('a key pair', () => {
  it('shows no private material however it is printed', async () => {
    const pair: KeyPair = generateKeyPair(NOW);
    const { d } = pair.privateKey.export({ format: 'jwk' });
    const { inspect } = await import('node:util');
    const printed = [JSON.stringify(pair), inspect(pair, { depth: 9 })].join('\n');
    expect(printed).not.toContain(d);
    expect(printed).not.toContain('PRIVATE');
    expect(Object.keys(pair.publicJwk).sort()).toEqual(
      ['alg', 'crv', 'kid', 'kty', 'use', 'x', 'y'].sort(),
    );
  });
});

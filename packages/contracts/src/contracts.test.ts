import fc from 'fast-check';
import { Value } from 'typebox/value';
import { describe, expect, it } from 'vitest';
import {
  NFT_ID_PATTERN,
  POOLS,
  PROBLEMS,
  S2SClaims,
  TIERS,
  TIER_POOLS,
  SSE_PREFIX,
  fallbackPools,
  formatDoneEvent,
  formatTokenEvent,
  problem,
  usageOf,
} from './index.ts';

describe('tiers and pools', () => {
  it('give each tier its default pool and nothing beyond what it may use', () => {
    expect(TIERS.map((tier) => [tier, TIER_POOLS[tier].default])).toEqual([
      ['free', 'cheap'],
      ['standard', 'cheap'],
      ['pro', 'reasoning'],
      ['enterprise', 'architect'],
    ]);
    for (const tier of TIERS) {
      expect(TIER_POOLS[tier].mayUse).toContain(TIER_POOLS[tier].default);
    }
  });

  it('fall back towards cheaper pools only, within the tier', () => {
    expect(fallbackPools('pro', 'reasoning')).toEqual(['reasoning', 'standard', 'cheap']);
    expect(fallbackPools('standard', 'cheap')).toEqual(['cheap']);
    for (const tier of TIERS) {
      for (const pool of TIER_POOLS[tier].mayUse) {
        for (const fallback of fallbackPools(tier, pool)) {
          expect(POOLS.indexOf(fallback)).toBeLessThanOrEqual(POOLS.indexOf(pool));
          expect(TIER_POOLS[tier].mayUse).toContain(fallback);
        }
      }
    }
  });
});

describe('a token event', () => {
  it('is three lines whatever the token contains, and JSON gives the token back', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), fc.nat(), (content, count) => {
        const [id, data, ...rest] = formatTokenEvent(content, count).split('\n');
        expect(id).toBe(`id: ${String(count)}`);
        expect(rest).toEqual(['', '']);
        expect(data).not.toContain('\r');
        const json = data!.slice('data: '.length);
        expect(json.startsWith(SSE_PREFIX.token)).toBe(true);
        expect(JSON.parse(json)).toEqual({ type: 'token', content });
      }),
    );
  });
});

describe('a done event', () => {
  it('is recognised by its prefix and carries the usage', () => {
    const [data] = formatDoneEvent(usageOf(3, 4), 'stop').split('\n');
    const json = data!.slice('data: '.length);
    expect(json.startsWith(SSE_PREFIX.done)).toBe(true);
    expect(JSON.parse(json)).toMatchObject({ usage: { total_tokens: 7 }, finish_reason: 'stop' });
  });
});

describe('the claims of a service token', () => {
  const claims = {
    iss: 'loa-freeside',
    aud: 'loa-finn',
    iat: 1,
    exp: 61,
    jti: 'a'.repeat(22),
    nft_id: `1:0x${'0'.repeat(40)}:7`,
    tier: 'pro',
    community_id: '00000000-0000-7000-8000-000000000001',
    budget_reservation_id: '00000000-0000-7000-8000-000000000002',
  };

  it('may go without a pool, and without nothing else', () => {
    expect(Value.Check(S2SClaims, claims)).toBe(true);
    for (const name of Object.keys(claims)) {
      const rest = Object.fromEntries(Object.entries(claims).filter(([key]) => key !== name));
      expect(Value.Check(S2SClaims, rest), name).toBe(false);
    }
  });

  it('refuse an audience list, an unknown pool and anything extra', () => {
    for (const change of [{ aud: ['loa-finn'] }, { pool: 'gold' }, { admin: true }]) {
      expect(Value.Check(S2SClaims, { ...claims, ...change })).toBe(false);
    }
  });
});

describe('an NFT id', () => {
  it.each([
    '01:0x',
    `1:0x${'A'.repeat(40)}:1`,
    `1:0x${'a'.repeat(40)}:01`,
    `0:0x${'a'.repeat(40)}:1`,
  ])('is not %s', (text) => {
    expect(new RegExp(NFT_ID_PATTERN).test(text)).toBe(false);
  });
});

describe('a problem', () => {
  it('takes status and title from the one table', () => {
    for (const code of Object.keys(PROBLEMS) as (keyof typeof PROBLEMS)[]) {
      const made = problem({ code, requestId: 'r' });
      expect(made).toMatchObject({ ...PROBLEMS[code], code, requestId: 'r' });
      expect(made.status).toBeGreaterThanOrEqual(400);
    }
  });
});

import { POOLS, TIERS, TIER_POOLS, type Pool, type Tier } from '@arrakis/contracts';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseAgentRef, resolvePool } from './agent.domain.ts';

const tier = fc.constantFrom<Tier>(...TIERS);
const pool = fc.constantFrom<Pool>(...POOLS);
const maybePool = fc.option(pool, { nil: undefined });
const live = { environment: 'live' } as const;
const sandbox = { environment: 'test' } as const;

describe('the pool of a request', () => {
  it('is the one asked for when the agent’s tier may use it, and refused otherwise', () => {
    fc.assert(
      fc.property(tier, maybePool, pool, (agentTier, preferredPool, requested) => {
        const decision = resolvePool({ tier: agentTier, preferredPool }, requested, live);
        const mayUse = TIER_POOLS[agentTier].mayUse;
        expect(decision).toEqual(
          mayUse.includes(requested)
            ? { ok: true, tier: agentTier, pool: requested }
            : { ok: false, code: 'pool_not_allowed', mayUse },
        );
      }),
    );
  });

  it('is the agent’s preferred one when nobody asks and the tier may use it', () => {
    expect(resolvePool({ tier: 'pro', preferredPool: 'standard' }, undefined, live)).toEqual({
      ok: true,
      tier: 'pro',
      pool: 'standard',
    });
  });

  it('falls back to the tier’s default when the preferred one is beyond the tier', () => {
    expect(resolvePool({ tier: 'standard', preferredPool: 'flagship' }, undefined, live)).toEqual({
      ok: true,
      tier: 'standard',
      pool: 'cheap',
    });
  });

  it('is always cheap for a sandbox key, whatever the agent is', () => {
    fc.assert(
      fc.property(tier, maybePool, maybePool, (agentTier, preferredPool, requested) => {
        const decision = resolvePool({ tier: agentTier, preferredPool }, requested, sandbox);
        if (requested === undefined || requested === 'cheap') {
          expect(decision).toEqual({ ok: true, tier: 'free', pool: 'cheap' });
        } else {
          expect(decision).toEqual({ ok: false, code: 'pool_not_allowed', mayUse: ['cheap'] });
        }
      }),
    );
  });

  it('never lies beyond the tier it is decided for', () => {
    fc.assert(
      fc.property(tier, maybePool, maybePool, (agentTier, preferredPool, requested) => {
        const decision = resolvePool({ tier: agentTier, preferredPool }, requested, live);
        if (decision.ok) expect(TIER_POOLS[decision.tier].mayUse).toContain(decision.pool);
      }),
    );
  });
});

describe('a client’s name for an agent', () => {
  const contract = '0xAbCdEf0123456789aBcDeF0123456789abcdef01';

  it('is a slug or an NFT id', () => {
    expect(parseAgentRef('muad-dib')).toEqual({ kind: 'slug', slug: 'muad-dib' });
    expect(parseAgentRef(`1:${contract.toLowerCase()}:42`)).toMatchObject({ kind: 'nft' });
  });

  it('may write the contract in mixed case', () => {
    expect(parseAgentRef(`1:${contract}:42`)).toEqual({
      kind: 'nft',
      nftId: `1:${contract.toLowerCase()}:42`,
    });
  });

  it.each([
    '',
    'Muad',
    '-a',
    'a b',
    'a\0',
    'a'.repeat(64),
    '1:0x12:3',
    `01:${contract}:1`,
    `1:${contract}:01`,
    'ä',
    'a'.repeat(100_000),
  ])('is nothing else (case %#)', (text) => {
    expect(parseAgentRef(text)).toBeUndefined();
  });
});

import { readFileSync } from 'node:fs';
import { POOLS } from '@arrakis/contracts';
import { describe, expect, test } from 'vitest';
import { parsePoolFile, PoolFileError, targetsOf } from './pool-file.domain.ts';

const target = { name: 'a', provider: 'canned', model: 'm' };
const file = (targets: unknown[]) => ({
  pools: Object.fromEntries(POOLS.map((pool) => [pool, { targets }])) as Record<string, unknown>,
});

function faultsOf(document: unknown): readonly string[] {
  try {
    parsePoolFile(document);
  } catch (error) {
    if (error instanceof PoolFileError) return error.faults;
  }
  return [];
}

describe('a pool file', () => {
  test('with all five pools is accepted', () => {
    expect(targetsOf(parsePoolFile(file([target])))).toHaveLength(5);
  });

  test.each(['pools.local.json', 'pools.canned.json', 'pools.example.json'])(
    '%s is accepted',
    (name) => {
      const text = readFileSync(new URL(`../../../${name}`, import.meta.url), 'utf8');
      expect(() => parsePoolFile(JSON.parse(text))).not.toThrow();
    },
  );

  test('without one of the pools names it', () => {
    const { pools } = file([target]);
    delete pools.reasoning;
    expect(faultsOf({ pools })).toEqual(['/pools: must have required properties reasoning']);
  });

  test.each([
    [{ ...target, provider: 'gpt' }, '/pools/cheap/targets/0/provider'],
    [{ ...target, baseUrl: 'ftp://x' }, '/pools/cheap/targets/0/baseUrl'],
    [{ ...target, apiKey: 'sk-in-the-file' }, '/pools/cheap/targets/0/apiKey'],
    [{ ...target, surprise: 1 }, '/pools/cheap/targets/0'],
    [{ ...target, provider: 'openai-compatible' }, '/pools/cheap/targets/0/apiKey'],
    [{ ...target, provider: 'anthropic' }, '/pools/cheap/targets/0/apiKey'],
    [{ ...target, provider: 'local', wordDelayMs: 5 }, '/pools/cheap/targets/0/wordDelayMs'],
  ])('points at what is wrong in %j', (bad, pointer) => {
    const faults = faultsOf(file([bad]));
    expect(faults.some((fault) => fault.startsWith(`${pointer}:`))).toBe(true);
    expect(faults.join()).not.toContain('sk-in-the-file');
  });

  test('gives one name to one target only', () => {
    const document = file([target]);
    document.pools.flagship = { targets: [{ ...target, model: 'other' }] };
    expect(faultsOf(document)).toEqual([
      '/pools/flagship/targets/0/name: is also the name of another target, at /pools/cheap/targets/0',
    ]);
  });
});

import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { POOLS } from '@arrakis/contracts';
import { loadEnv } from '@arrakis/service-kit';
import { describe, expect, test } from 'vitest';
import { parsePoolFile } from '../features/pools/pool-file.domain.ts';
import { toConfig } from './config.ts';
import { FinnEnv } from './env.ts';
import { resolveApiKeys } from './secrets.ts';

const REQUIRED = {
  DATABASE_URL: 'postgres://x',
  REDIS_URL: 'redis://x',
  NATS_URL: 'nats://x',
} as const;
const config = (change: Record<string, string> = {}) =>
  toConfig(loadEnv(FinnEnv, { ...REQUIRED, ...change }));

function fileOf(content: string): string {
  const path = join(mkdtempSync(join(tmpdir(), 'finn-config-')), 'file');
  writeFileSync(path, content);
  return path;
}
const poolsWith = (target: object) =>
  parsePoolFile({
    pools: Object.fromEntries(POOLS.map((pool) => [pool, { targets: [target] }])),
  });
const vendor = (apiKey: string) =>
  poolsWith({ name: 'v', provider: 'openai-compatible', model: 'm', apiKey });

describe('the configuration', () => {
  test('needs the backends and nothing else: the pools are then the local model', () => {
    const { http, pools } = config();
    expect(http).toEqual({ host: '127.0.0.1', port: 3001 });
    expect(pools.pools.flagship.targets[0]).toMatchObject({
      provider: 'local',
      model: 'smollm2-135m-instruct',
    });
    expect(() => loadEnv(FinnEnv, {})).toThrow(/DATABASE_URL.*\n.*REDIS_URL.*\n.*NATS_URL/);
  });

  test.each([
    [{ PROVIDER_IDLE_TIMEOUT_MS: '60000' }, /PROVIDER_IDLE_TIMEOUT_MS/],
    [{ FINN_PORT: '9302' }, /FINN_PORT and FINN_ADMIN_PORT/],
    [{ FINN_POOLS_FILE: '/nonexistent/pools.json' }, /FINN_POOLS_FILE/],
    [{ FINN_POOLS_FILE: fileOf('{') }, /valid JSON/],
    [{ FINN_POOLS_FILE: fileOf('{"pools":{}}') }, /\/pools: must have required properties/],
  ])('refuses %j', (change, message) => {
    expect(() => config(change)).toThrow(message);
  });

  test('refuses the canned answers in production', () => {
    const canned = new URL('../../pools.canned.json', import.meta.url).pathname;
    expect(() => config({ FINN_POOLS_FILE: canned })).not.toThrow();
    expect(() => config({ FINN_POOLS_FILE: canned, NODE_ENV: 'production' })).toThrow(/canned/);
  });
});

describe('the key of a target', () => {
  test('comes from a variable or a file, and shows nowhere', () => {
    const fromVariable = resolveApiKeys(vendor('env:A_KEY'), (name) =>
      name === 'A_KEY' ? 'sk-1' : undefined,
    );
    expect(fromVariable.get('env:A_KEY')?.reveal()).toBe('sk-1');
    expect(JSON.stringify([...fromVariable])).not.toContain('sk-1');

    const reference = `file:${fileOf('sk-2\n')}`;
    expect(
      resolveApiKeys(vendor(reference), () => undefined)
        .get(reference)
        ?.reveal(),
    ).toBe('sk-2');
  });

  test.each(['env:MISSING', 'file:/nonexistent/key', `file:${fileOf('two\nlines')}`])(
    'that %s does not give stops the start, by its place in the file',
    (reference) => {
      expect(() => resolveApiKeys(vendor(reference), () => undefined)).toThrow(
        '/pools/cheap/targets/0/apiKey',
      );
    },
  );
});

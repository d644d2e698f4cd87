import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createPool } from '@arrakis/postgres';
import { createTestDatabase, spawnService, type TestDatabase } from '@arrakis/testkit';
import type { Pool } from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  insertCommunity,
  randomPepperText,
  type TestCommunity,
} from '../../services/freeside/src/features/api-keys/test-support/community.ts';
import { baseEnv } from '../lib/env.ts';

const ENTRY = fileURLToPath(new URL('./api-key.ts', import.meta.url));
const KEY = /lf_(?:live|test)_[a-z2-7]{12}_[0-9A-Za-z]{32}/g;
const pepper = randomPepperText();

let database: TestDatabase;
let pool: Pool;
let community: TestCommunity;

beforeAll(async () => {
  database = await createTestDatabase();
  pool = createPool({
    url: database.appUrl,
    max: 2,
    applicationName: 'test',
    onError: () => undefined,
  });
  community = await insertCommunity(pool, { slug: 'arrakeen', userName: 'Chani Kynes' });
});

afterAll(async () => {
  await pool.end();
  await database.drop();
});

async function run(args: readonly string[], env: Record<string, string> = {}) {
  const child = await spawnService({
    entry: ENTRY,
    args,
    env: baseEnv({
      DATABASE_URL: database.appUrl,
      API_KEY_PEPPER: pepper,
      NODE_NO_WARNINGS: '1',
      ...env,
    }),
  });
  const { code } = await child.exited;
  return { code, stdout: child.stdout.join('\n'), stderr: child.stderr.join('\n') };
}

const create = (...more: string[]) =>
  run(['create', '--community', 'arrakeen', '--user', 'Chani Kynes', ...more]);

interface KeyJson {
  readonly id: string;
  readonly key_prefix: string;
  readonly api_key?: string;
  readonly is_active: boolean;
}

describe('the API key command', () => {
  it('shows a new key exactly once and says what to do next', async () => {
    const made = await create('--name', 'laptop');
    expect(made).toMatchObject({ code: 0, stderr: '' });
    const keys = made.stdout.match(KEY) ?? [];
    expect(keys).toHaveLength(1);
    const secret = keys[0]!.slice(-32);
    expect(made.stdout.split(secret)).toHaveLength(2);
    expect(made.stdout).toContain('only time');
    expect(made.stdout).toContain('curl');
    expect(made.stdout).toContain('60 requests a minute');

    const listed = await run(['list', '--community', 'arrakeen']);
    expect(listed.stdout).toContain(keys[0]!.slice(0, 20));
    expect(listed.stdout).toContain('laptop');
    expect(listed.stdout).not.toContain(secret);
  });

  it('speaks JSON when asked', async () => {
    const made = JSON.parse((await create('--env', 'test', '--json')).stdout) as KeyJson &
      Record<string, unknown>;
    expect(made).toMatchObject({
      environment: 'test',
      community: 'arrakeen',
      user_id: community.userId,
      rate_limit_rpm: 10,
      rate_limit_tpd: 10_000,
      is_active: true,
      last_used_at: null,
    });
    expect(made.api_key).toMatch(/^lf_test_/);
    const listed = JSON.parse((await run(['list', '--json'])).stdout) as KeyJson[];
    expect(listed.find((key) => key.id === made.id)).toBeDefined();
    expect(JSON.stringify(listed)).not.toContain('api_key');
  });

  it('rotates and revokes by prefix or id', async () => {
    const made = JSON.parse((await create('--json')).stdout) as KeyJson;
    const rotated = JSON.parse(
      (await run(['rotate', made.key_prefix, '--json'])).stdout,
    ) as KeyJson;
    expect(rotated.key_prefix).not.toBe(made.key_prefix);
    expect(rotated.api_key).toMatch(KEY);

    const again = await run(['rotate', made.key_prefix]);
    expect(again.code).toBe(3);
    expect(again.stderr).toContain('revoked before');

    const revoked = await run(['revoke', rotated.id]);
    expect(revoked).toMatchObject({ code: 0 });
    expect(revoked.stdout).toContain('within 2 seconds');
    const all = JSON.parse((await run(['list', '--all', '--json'])).stdout) as KeyJson[];
    const states = [made, rotated].map((key) => all.find(({ id }) => id === key.id)?.is_active);
    expect(states).toEqual([false, false]);
  });

  it('refuses to raise a sandbox key above its limits', async () => {
    const { code, stderr, stdout } = await create('--env', 'test', '--rpm', '11');
    expect(code).toBe(3);
    expect(stderr).toContain('1 to 10');
    expect(stdout).toBe('');
  });

  it('makes no key while that is switched off, and says so when nobody can tell', async () => {
    const flags = await mkdtemp(join(tmpdir(), 'api-key-flags-'));
    await writeFile(join(flags, 'FEATURE_API_KEYS_ENABLED'), 'false');
    const args = ['create', '--community', 'arrakeen', '--user', 'Chani Kynes'];
    const off = await run(args, { FLAGS_DIR: flags });
    await rm(flags, { recursive: true });
    expect(off).toMatchObject({ code: 3, stdout: '' });
    expect(off.stderr).toContain('switched off');
    expect(off.stderr).toContain('scripts/flags.ts list');
    const unknown = await run(args, { NATS_URL: 'nats://user:hunter2@127.0.0.1:1' });
    expect(unknown.code).toBe(0);
    expect(unknown.stderr).toContain('NATS is away');
    expect(unknown.stderr).not.toContain('hunter2');
  });

  it('says who there is when the user or the community is unknown', async () => {
    const user = await run(['create', '--community', 'arrakeen', '--user', 'Jamis']);
    expect(user.code).toBe(3);
    expect(user.stderr).toContain(`Chani Kynes (${community.userId})`);
    const slug = await run(['create', '--community', 'caladan', '--user', 'Chani Kynes']);
    expect(slug).toMatchObject({ code: 3 });
    expect(slug.stderr).toContain('no community "caladan"');
  });

  it('stops at ten active keys and says how to go on', async () => {
    await insertCommunity(pool, { slug: 'full', userName: 'Leto' });
    const more = ['create', '--community', 'full', '--user', 'Leto', '--json'];
    for (let made = 0; made < 10; made += 1) expect((await run(more)).code).toBe(0);
    const eleventh = await run(more);
    expect(eleventh.code).toBe(3);
    expect(eleventh.stderr).toContain('api-key.ts revoke');
  }, 60_000);

  it.each([
    [[], 'Say what to do'],
    [['create'], '--community'],
    [['create', '--community', 'arrakeen'], '--user'],
    [['create', '--community', 'a', '--user', 'b', '--env', 'prod'], 'live or test'],
    [['create', '--community', 'a', '--user', 'b', '--rpm', '-1'], '--rpm'],
    [['create', '--community', 'a', '--user', 'b', '--rpm', '1e3'], '--rpm takes a whole number'],
    [['list', '--user', 'b'], '--user needs --community'],
    [['revoke'], 'by its prefix'],
    [['revoke', 'nonsense'], 'by its prefix'],
    [['revoke', `lf_live_${'a'.repeat(12)}`, 'more'], 'more arguments'],
  ])('explains a wrong command line (case %#)', async (args, expected) => {
    const { code, stderr } = await run(args);
    expect(code).toBe(2);
    expect(stderr).toContain(expected);
  });

  it('takes no whole key as an argument and never repeats one', async () => {
    const whole = `lf_live_${'a'.repeat(12)}_${'S3cret00'.repeat(4)}`;
    for (const args of [['revoke', whole], [`--${whole}`], ['list', whole]]) {
      const { code, stdout, stderr } = await run(args);
      expect(code).toBe(2);
      expect(stdout + stderr).not.toContain('S3cret00');
    }
  });

  it.each([
    ['', 'API_KEY_PEPPER is missing'],
    ['1:c2hvcnQ=', 'has 5 bytes'],
  ])('does not make keys without a usable pepper, and never prints it', async (text, expected) => {
    const { code, stderr } = await run(
      ['create', '--community', 'arrakeen', '--user', 'Chani Kynes'],
      { API_KEY_PEPPER: text },
    );
    expect(code).toBe(2);
    expect(stderr).toContain(expected);
    expect(stderr).not.toContain('c2hvcnQ');
  });
});

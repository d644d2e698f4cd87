import { fileURLToPath } from 'node:url';
import { createTestNats, spawnService, type TestNats } from '@arrakis/testkit';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { baseEnv } from './lib/env.ts';

const ENTRY = fileURLToPath(new URL('./flags.ts', import.meta.url));
const FLAG = 'FEATURE_WEB_CHAT_ENABLED';

let nats: TestNats;
beforeAll(async () => {
  nats = await createTestNats();
});
afterAll(() => nats.drop());

async function run(args: readonly string[], env: Record<string, string> = { NATS_URL: nats.url }) {
  const child = await spawnService({
    entry: ENTRY,
    args,
    env: baseEnv({ NODE_NO_WARNINGS: '1', ...env }),
  });
  const { code } = await child.exited;
  return { code, stdout: child.stdout.join('\n'), stderr: child.stderr.join('\n') };
}

describe('the flags command', () => {
  it('lists the defaults while nobody said anything, and what was said after that', async () => {
    const fresh = await run(['list']);
    expect(fresh).toMatchObject({ code: 0, stderr: '' });
    expect(fresh.stdout).toMatch(new RegExp(`${FLAG} +true`));
    expect(fresh.stdout).toContain('defaults');

    const off = await run(['set', FLAG, 'false']);
    expect(off).toMatchObject({ code: 0, stdout: `${FLAG} is false (it was true).`, stderr: '' });
    await run(['set', 'FEATURE_API_KEYS_ENABLED', 'false']);
    const listed = (await run(['list'])).stdout;
    expect(listed).toMatch(new RegExp(`${FLAG} +false`));
    expect(listed).toMatch(/FEATURE_API_KEYS_ENABLED +false/);
    expect(listed).toMatch(/FEATURE_CRYPTO_PAYMENTS_ENABLED +true/);
    expect(listed).toMatch(/revision command-[0-9a-f-]{36}/);
  });

  it.each([
    [[], 'Say what to do'],
    [['flip'], 'no such command'],
    [['list', 'more'], 'more arguments'],
    [['set', FLAG], 'exactly true or false'],
    [['set', FLAG, 'off'], 'exactly true or false'],
    [['set', FLAG, 'True'], 'exactly true or false'],
    [['set', 'FEATURE_WEBCHAT_ENABLED', 'true'], 'no such flag'],
    [['set', FLAG, 'true', 'more'], 'more arguments'],
  ])('explains a wrong command line (case %#)', async (args, expected) => {
    const { code, stderr } = await run(args);
    expect(code).toBe(2);
    expect(stderr).toContain(expected);
    expect(stderr).toContain('Usage');
  });

  it('says what is missing, and never the password, when NATS is not there', async () => {
    expect(await run(['list'], {})).toMatchObject({ code: 2 });
    const away = await run(['list'], { NATS_URL: 'nats://user:hunter2@127.0.0.1:1' });
    expect(away.code).toBe(1);
    expect(away.stderr).toContain('connection refused');
    expect(away.stderr).not.toContain('hunter2');
  });
});

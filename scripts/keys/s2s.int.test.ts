import { createPrivateKey } from 'node:crypto';
import { mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createPool } from '@arrakis/postgres';
import { createTestDatabase, spawnService, type TestDatabase } from '@arrakis/testkit';
import type { Pool } from 'pg';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import {
  startFakeFinn,
  type FakeFinn,
} from '../../services/freeside/src/features/s2s/test-support/fake-finn.ts';
import {
  startJwksApp,
  type JwksApp,
} from '../../services/freeside/src/features/s2s/test-support/jwks-app.ts';
import { baseEnv } from '../lib/env.ts';

const ENTRY = fileURLToPath(new URL('./s2s.ts', import.meta.url));

let database: TestDatabase;
let migrator: Pool;
let app: Pool;
let jwks: JwksApp;
let finn: FakeFinn;
let dir: string;
/** Everything that any run printed. */
let printed = '';
/** Every private key that ever lay in the store, as it lay there. */
const pems = new Map<string, string>();

beforeAll(async () => {
  database = await createTestDatabase();
  migrator = pool(database.migratorUrl);
  app = pool(database.appUrl);
});

beforeEach(async () => {
  await migrator.query('DELETE FROM freeside.s2s_jwks_public_keys');
  dir = join(await mkdtemp(join(tmpdir(), 'keys-')), 'store');
  jwks = await startJwksApp(app);
  finn = await startFakeFinn(() => jwks.url);
  printed = '';
  pems.clear();
});

afterEach(async () => {
  await finn.close();
  await jwks.close();
  await rm(join(dir, '..'), { recursive: true, force: true });
});

afterAll(async () => {
  await app.end();
  await migrator.end();
  await database.drop();
});

function pool(url: string): Pool {
  return createPool({ url, max: 4, applicationName: 'test', onError: () => undefined });
}

async function run(args: readonly string[], env: Record<string, string> = {}) {
  const child = await spawnService({
    entry: ENTRY,
    args,
    env: baseEnv({
      DATABASE_URL: database.migratorUrl,
      S2S_KEY_STORE_DIR: dir,
      NODE_NO_WARNINGS: '1',
      ...env,
    }),
  });
  const { code } = await child.exited;
  const [stdout, stderr] = [child.stdout.join('\n'), child.stderr.join('\n')];
  printed += `${stdout}\n${stderr}\n`;
  await collectPems();
  return { code, stdout, stderr };
}

async function collectPems(): Promise<void> {
  for (const name of await readdir(dir).catch(() => [])) {
    if (name.endsWith('.pem')) pems.set(name, await readFile(join(dir, name), 'utf8'));
  }
}

const rotate = (...more: string[]) =>
  run([
    'rotate',
    ...['--jwks-url', jwks.url, '--finn-url', finn.url],
    ...['--wait-seconds', '1', '--unsafe-short-wait', '--patience-seconds', '1'],
    ...more,
  ]);

const activeKid = async (): Promise<string> =>
  (JSON.parse(await readFile(join(dir, 'active.json'), 'utf8')) as { activeKid: string }).activeKid;

/** Whichever way private material could be written down. */
function traces(pem: string): string[] {
  const der = Buffer.from(pem.replace(/-----[^-]+-----|\s/g, ''), 'base64');
  const { d = '' } = createPrivateKey(pem).export({ format: 'jwk' });
  const scalar = Buffer.from(d, 'base64url');
  return [
    ...pem.split('\n').filter((line) => line.length > 20 && !line.startsWith('-----')),
    der.toString('base64'),
    der.toString('base64url'),
    der.toString('hex'),
    d,
    scalar.toString('base64'),
    scalar.toString('hex'),
    BigInt(`0x${scalar.toString('hex')}`).toString(10),
  ];
}

function leaks(text: string): string[] {
  const lower = text.toLowerCase();
  return [
    ...[...pems.values()].flatMap(traces).filter((trace) => lower.includes(trace.toLowerCase())),
    ...(/PRIVATE KEY|"d"\s*:/.test(text) ? ['a marker of private keys'] : []),
  ];
}

describe('the signing key commands', () => {
  it('go through a whole life without printing anything private', async () => {
    const first = await run(['bootstrap']);
    expect(first).toMatchObject({ code: 0, stderr: '' });
    const oldKid = await activeKid();
    expect(first.stdout.split('\n').at(-1)).toBe(`signing key ${oldKid} is active now`);
    expect((await run(['bootstrap'])).stdout).toBe(`signing key ${oldKid} is active already`);

    finn.mode = 'refuse_everything';
    expect((await rotate()).code).toBe(1);
    finn.mode = 'verify';
    const rotated = await rotate();
    expect(rotated).toMatchObject({ code: 0, stderr: '' });
    const newKid = await activeKid();
    expect(newKid).not.toBe(oldKid);
    expect(rotated.stdout).toContain(`Done: ${newKid} signs.`);
    expect((await run(['list'])).stdout).toMatch(new RegExp(`${newKid}\\s+active`));
    expect((await run(['list', '--json'])).code).toBe(0);
    expect((await run(['retire'])).stdout).toBe('Nothing is due.');
    expect((await run(['retire', '--kid', oldKid, '--now'])).code).toBe(0);
    expect(await readdir(dir)).not.toContain(`${oldKid}.pem`);

    // Failures are where keys leak: half a key, a mismatched file, an error with a cause.
    const path = join(dir, `${newKid}.pem`);
    const pem = pems.get(`${newKid}.pem`) ?? '';
    for (const broken of [pem.slice(0, -40), pem.replace('BEGIN', 'BEGUN'), 'x']) {
      await writeFile(path, broken);
      const failed = await run(['bootstrap']);
      expect(failed.code).toBe(1);
      expect(failed.stderr).toContain('is not the PEM of a P-256 private key');
      expect(failed.stderr).toContain('move it away and run bootstrap');
    }
    // Replacing a key doesn't need the old one.
    expect((await rotate()).code).toBe(0);
    pems.set(`${newKid}.pem`, pem);

    expect(pems.size).toBeGreaterThanOrEqual(3);
    expect(leaks(printed)).toEqual([]);
  }, 90_000);

  it('would be caught if they printed a private key in any form', async () => {
    await run(['bootstrap']);
    const [pem = ''] = pems.values();
    for (const trace of [pem, ...traces(pem)]) {
      expect(leaks(`before ${trace} after`)).not.toEqual([]);
    }
    expect(leaks('{"d": "x"}')).not.toEqual([]);
  });

  it('say in which state a failed rotation left things, and go on when run again', async () => {
    await run(['bootstrap']);
    const oldKid = await activeKid();
    finn.mode = 'accept_everything';
    const failed = await rotate();
    expect(failed.code).toBe(1);
    expect(failed.stderr).toContain('accepts a forged token');
    expect(failed.stderr).toContain(`The old key ${oldKid} is still the active one`);
    expect(failed.stderr).toContain('run rotate again');
    expect(await activeKid()).toBe(oldKid);
    expect((await run(['list'])).stdout).toContain('A rotation was interrupted');

    finn.mode = 'verify';
    const resumed = await rotate();
    expect(resumed.code).toBe(0);
    expect(resumed.stdout).toContain('going on with key');
    expect((await readdir(dir)).filter((name) => name.endsWith('.pem'))).toHaveLength(2);
  });

  it('stop a rotation on ^C in the wait, with the old key active', async () => {
    await run(['bootstrap']);
    const oldKid = await activeKid();
    const child = await spawnService({
      entry: ENTRY,
      args: ['rotate', '--jwks-url', jwks.url, '--finn-url', finn.url],
      env: baseEnv({
        DATABASE_URL: database.migratorUrl,
        S2S_KEY_STORE_DIR: dir,
      }),
    });
    await expect
      .poll(() => child.stdout.join('\n'), { timeout: 20_000 })
      .toContain('waiting until every cache has the key: 6:30 left');
    const exit = await child.kill('SIGINT');
    expect(exit).toEqual({ code: 1, signal: null });
    expect(child.stderr.join('\n')).toContain('it was interrupted');
    expect(await activeKid()).toBe(oldKid);
  });

  it.each([
    [[], 'Say what to do'],
    [['destroy'], 'no such command'],
    [['rotate'], '--jwks-url'],
    [['rotate', '--jwks-url', 'http://127.0.0.1:1'], '--finn-url'],
    [['rotate', '--jwks-url', 'ftp://x', '--finn-url', 'http://x'], 'http or https URL'],
    [
      ['rotate', '--jwks-url', 'http://x', '--finn-url', 'http://x', '--wait-seconds', '10'],
      'at least 390 seconds',
    ],
    [['retire', '--now'], '--kid and --now go together'],
    [['retire', '--kid', '../x', '--now'], 'takes the id of a key'],
    [['list', '--verbose'], 'Unknown option'],
  ])('explain a wrong command line (case %#)', async (args, expected) => {
    const { code, stderr } = await run(args);
    expect(code).toBe(2);
    expect(stderr).toContain(expected);
    expect(stderr).toContain('Usage:');
  });

  it('name the variable that is missing', async () => {
    const noStore = await run(['list'], { S2S_KEY_STORE_DIR: '' });
    expect(noStore).toMatchObject({ code: 2 });
    expect(noStore.stderr).toContain('S2S_KEY_STORE_DIR');
    const noDatabase = await run(['list'], { DATABASE_URL: '' });
    expect(noDatabase.stderr).toContain('DATABASE_URL');
  });

  it('explain a database that is away, and a role that may not publish', async () => {
    const away = await run(['bootstrap'], { DATABASE_URL: 'postgres://x:secret@127.0.0.1:9/x' });
    expect(away.code).toBe(1);
    expect(away.stderr).toContain("can't be reached");
    expect(away.stderr).not.toContain('secret');
    const forbidden = await run(['bootstrap'], { DATABASE_URL: database.appUrl });
    expect(forbidden.code).toBe(1);
    expect(forbidden.stderr).toContain('signing keys need migrator');
  });
});

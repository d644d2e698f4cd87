import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { text } from 'node:stream/consumers';
import { promisify } from 'node:util';
import { createPool, withTransaction } from '@arrakis/postgres';
import { createTestDatabase, type TestDatabase } from '@arrakis/testkit';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { baseEnv } from './lib/env.ts';

const ROOT = resolve(import.meta.dirname, '..');
const run = promisify(execFile);

let database: TestDatabase;
let dir: string;
beforeAll(async () => {
  database = await createTestDatabase();
  dir = await mkdtemp(join(tmpdir(), 'audit-'));
  const owner = createPool({
    url: database.migratorUrl,
    max: 1,
    applicationName: 'test',
    onError: () => undefined,
  });
  for (const amount of [5, 7]) {
    await owner.query(
      `INSERT INTO freeside.communities (slug, name, tier) VALUES ('c' || $1::text, 'c', 'pro')`,
      [amount],
    );
    await owner.query(
      `SELECT freeside.mint_lot(id, $1::bigint, 'grant', slug, NULL) FROM freeside.communities WHERE slug = 'c' || $1::text`,
      [amount],
    );
    await withTransaction(owner, async (tx) => {
      await tx.query('SET TRANSACTION ISOLATION LEVEL REPEATABLE READ');
      await tx.query('SELECT * FROM freeside.seal_audit_batch(100)');
    });
  }
  await owner.end();
});
afterAll(async () => {
  await database.drop();
  await rm(dir, { recursive: true, force: true });
});

/** The command as a user runs it. */
async function audit(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  try {
    const { stdout, stderr } = await run(process.execPath, ['scripts/audit.ts', ...args], {
      cwd: ROOT,
      env: baseEnv({ DATABASE_URL: database.appUrl }),
    });
    return { code: 0, out: stdout, err: stderr };
  } catch (error) {
    const { code, stdout, stderr } = error as { code: number; stdout: string; stderr: string };
    return { code, out: stdout, err: stderr };
  }
}

describe('the audit command', () => {
  it('exports a trail that it verifies', async () => {
    const file = join(dir, 'trail.jsonl');
    expect(await audit('export', '--out', file)).toMatchObject({ code: 0 });
    expect(await readdir(dir)).toEqual(['trail.jsonl']);
    const { code, out } = await audit('verify', file);
    expect(out).toMatch(/^intact: 2 records and 2 checkpoints, sequences 1 to 4\n/);
    expect(code).toBe(0);
    const written = await readFile(file, 'utf8');
    expect((await audit('export')).out.split('\n').slice(1)).toEqual(written.split('\n').slice(1));
    const tail = (await audit('export', '--after', '2')).out;
    expect(tail.split('\n').slice(1)).toEqual(written.split('\n').slice(3));
  });

  it('names the wrong line with exit code 1', async () => {
    const file = join(dir, 'changed.jsonl');
    const { out } = await audit('export');
    await writeFile(file, out.replace('"amount_micro":"7"', '"amount_micro":"8"'));
    const { code, out: said } = await audit('verify', file);
    expect(said).toMatch(/^broken at line 4 /);
    expect(code).toBe(1);
  });

  it('into a folder that is not there says so and leaves nothing behind', async () => {
    const { code, err } = await audit('export', '--out', join(dir, 'nowhere', 'trail.jsonl'));
    expect(err).toMatch(/^ENOENT: no such file or directory[^\n]*\n$/);
    expect(code).toBe(1);
  });

  it('leaves no half of a file when the trail cannot be read', async () => {
    const file = join(dir, 'half.jsonl');
    expect(await audit('export', '--after', '1', '--out', file)).toMatchObject({ code: 1 });
    expect((await readdir(dir)).filter((name) => name.startsWith('half'))).toEqual([]);
  });

  it('says that its reader went away, without a stack', async () => {
    const child = spawn(process.execPath, ['scripts/audit.ts', 'export'], {
      cwd: ROOT,
      env: baseEnv({ DATABASE_URL: database.appUrl }),
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    child.stdout.destroy();
    const [, err] = await Promise.all([once(child, 'close'), text(child.stderr)]);
    expect(err).toBe('Whoever read the export went away before it was whole.\n');
    expect(child.exitCode).toBe(1);
  });

  it.each([
    [['export', '--after', '1'], 1, 'sequence 1 is not that of a checkpoint'],
    [['export', '--after', 'x'], 2, '--after takes a sequence'],
    [['verify', 'nowhere.jsonl'], 2, 'ENOENT'],
    [['verify'], 2, 'Name one export'],
    [['verify', '--require-signature', 'x'], 2, 'needs a --key'],
    [['verify', '--expect', '1:2', 'x'], 2, 'SEQUENCE:HASH'],
    [['seal'], 2, 'Say export or verify'],
  ])('%j ends with %d and says so', async (args, code, words) => {
    const ended = await audit(...args);
    expect(ended.err).toContain(words);
    expect(ended.code).toBe(code);
  });
});

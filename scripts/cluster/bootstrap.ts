import { spawnSync } from 'node:child_process';
import { resolve } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import pg from 'pg';
import { requiredSecretEnv } from '../lib/env.ts';
import { runScript, say } from '../lib/entry.ts';
import { PlainError } from '../lib/plain-error.ts';

const DATABASE_SCRIPT = resolve(import.meta.dirname, '../database.ts');
const RETRY_MS = 250;
const PATIENCE_MS = 300_000;

/**
 * Waits for the server, then makes roles and database. Without the wait the Job would fail while
 * PostgreSQL starts beside it, and come back later each time.
 */
await runScript('bootstrap', async () => {
  const url = requiredSecretEnv('ADMIN_DATABASE_URL', 'the server, as an administrator');
  await waitForServer(url);
  const { status } = spawnSync(process.execPath, [DATABASE_SCRIPT, 'bootstrap'], {
    stdio: 'inherit',
  });
  if (status !== 0) throw new PlainError('the database could not be made (see above)');
});

async function waitForServer(url: string): Promise<void> {
  // The first process of a container ignores what it doesn't handle, and would wait out its grace.
  process.once('SIGTERM', () => {
    process.exit(1);
  });
  const deadline = performance.now() + PATIENCE_MS;
  let said = '';
  for (;;) {
    const reason = await connect(url);
    if (reason === undefined) return;
    if (performance.now() > deadline) throw new PlainError(`PostgreSQL is not there: ${reason}`);
    if (reason !== said) say(`waiting for PostgreSQL (${reason})`);
    said = reason;
    await pause(RETRY_MS);
  }
}

/** Why there is no connection; `undefined` when there was one. */
async function connect(url: string): Promise<string | undefined> {
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 2_000 });
  client.on('error', () => undefined);
  try {
    await client.connect();
    return undefined;
  } catch (error) {
    return error instanceof Error && 'code' in error ? String(error.code) : 'no answer';
  } finally {
    await client.end().catch(() => undefined);
  }
}

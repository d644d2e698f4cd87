import {
  createTestDatabase,
  startTcpRelay,
  type TcpRelay,
  type TestDatabase,
} from '@arrakis/testkit';
import type { Pool } from 'pg';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { withAdvisoryLock, type LockPulse } from './advisory-lock.ts';
import { createPool } from './pool.ts';

const APPLICATION = 'lock-holder';
/** Nothing is decided by the time an answer takes here, only by whether one comes. */
const PULSE: LockPulse = { heartbeatMs: 20, answerTimeoutMs: 2_000, silenceMs: 60_000 };

let database: TestDatabase;
let relay: TcpRelay;
let admin: Pool;
let pool: Pool;
beforeAll(async () => {
  database = await createTestDatabase();
  relay = await startTcpRelay({ targetPort: Number(new URL(database.migratorUrl).port) });
  admin = poolOf(database.adminUrl, 'admin');
  const url = new URL(database.migratorUrl);
  url.port = String(relay.port);
  pool = poolOf(url.href, APPLICATION);
});
afterEach(() => relay.restore());
afterAll(async () => {
  await Promise.all([pool.end(), admin.end()]);
  await relay.close();
  await database.drop();
});

function poolOf(url: string, applicationName: string): Pool {
  return createPool({ url, max: 2, applicationName, onError: () => undefined });
}

interface Holder {
  readonly beats: boolean;
}

/** What the database sees of the one that holds the lock. */
async function holder(): Promise<Holder | undefined> {
  const { rows } = await admin.query<Holder>(
    `SELECT query = 'SELECT 1' AS beats FROM pg_stat_activity
     WHERE application_name = $1 AND state LIKE 'idle in transaction%' AND datname = current_database()`,
    [APPLICATION],
  );
  return rows[0];
}

describe('an advisory lock', () => {
  it('tells its holder when the connection goes silent, without a word from anybody', async () => {
    const outcome = await withAdvisoryLock(
      pool,
      'silent',
      async (signal) => {
        relay.strand();
        await expect.poll(() => signal.aborted, { timeout: 30_000 }).toBe(true);
        return 'stopped';
      },
      PULSE,
    );
    expect(outcome).toEqual({ ran: true, value: 'stopped' });
    expect((await pool.query('SELECT 1 AS one')).rows).toEqual([{ one: 1 }]);
  }, 60_000);

  it('shows the database that it is there while the work runs, and no longer', async () => {
    await withAdvisoryLock(
      pool,
      'beating',
      async (signal) => {
        await expect.poll(holder, { timeout: 30_000 }).toMatchObject({ beats: true });
        expect(signal.aborted).toBe(false);
      },
      PULSE,
    );
    expect(await holder()).toBeUndefined();
  }, 60_000);

  it('is given away by the database when its holder has been silent', async () => {
    const mute = { ...PULSE, heartbeatMs: 60_000, silenceMs: 200 };
    const outcome = await withAdvisoryLock(
      pool,
      'vanished',
      async (signal) => {
        await expect.poll(() => signal.aborted, { timeout: 30_000 }).toBe(true);
        return withAdvisoryLock(pool, 'vanished', () => Promise.resolve('successor'), PULSE);
      },
      mute,
    );
    expect(outcome).toEqual({ ran: true, value: { ran: true, value: 'successor' } });
  }, 60_000);
});

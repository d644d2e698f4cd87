import { randomBytes } from 'node:crypto';
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { bootstrapRoles, migrate } from '@arrakis/postgres';
import type { TestProject } from 'vitest/node';
import { startNats } from './backends/nats.ts';
import { startPostgres } from './backends/postgres.ts';
import { startRedis } from './backends/redis.ts';
import { startReaper } from './databases/reaper.ts';
import type { RolePasswords, TestBackends } from './databases/test-backends.ts';
import { databaseUrl, withAdmin } from './databases/test-database.ts';
import { REDIS_DATABASES } from './databases/test-redis.ts';

const MIGRATIONS_DIR = resolve(import.meta.dirname, '../../../migrations');
const TEMPLATE = 'arrakis_template';

interface Run {
  readonly backends: TestBackends;
  stop(): Promise<void>;
}

/** Several vitest projects of one run load this module apart from each other and share this. */
interface SharedRun {
  users: number;
  readonly run: Promise<Run>;
}
const shared = globalThis as { arrakisTestRun?: SharedRun | undefined };

export async function setup(project: TestProject): Promise<void> {
  shared.arrakisTestRun ??= { users: 0, run: startRun() };
  const { arrakisTestRun } = shared;
  arrakisTestRun.users += 1;
  project.provide('backends', (await arrakisTestRun.run).backends);
}

export async function teardown(): Promise<void> {
  const { arrakisTestRun } = shared;
  if (arrakisTestRun === undefined) return;
  arrakisTestRun.users -= 1;
  if (arrakisTestRun.users > 0) return;
  shared.arrakisTestRun = undefined;
  await (await arrakisTestRun.run).stop();
}

async function startRun(): Promise<Run> {
  const runDir = await mkdtemp(join(tmpdir(), 'arrakis-test-'));
  // PostgreSQL's own user passes through; the secrets below it have their own modes.
  await chmod(runDir, 0o711);
  const reaper = startReaper(runDir);
  const stops: (() => Promise<void>)[] = [];
  const stop = async (): Promise<void> => {
    await Promise.all(stops.map((end) => end()));
    const left = await reaper.dismiss();
    if (left > 0) {
      process.stderr.write(
        `[testkit] ended ${String(left)} server(s) that tests had left running\n`,
      );
    }
    await rm(runDir, { recursive: true, force: true });
  };
  try {
    return { backends: await startBackends(runDir, stops), stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

async function startBackends(
  runDir: string,
  stops: (() => Promise<void>)[],
): Promise<TestBackends> {
  const onProgress = (line: string): boolean => process.stderr.write(`[testkit] ${line}\n`);
  const keep = <T extends { stop(): Promise<void> }>(backend: T): T => {
    stops.push(() => backend.stop());
    return backend;
  };
  // All of them settle before a failure is reported, so that none starts behind our back.
  const [postgres, redis, nats] = await Promise.allSettled([
    startPostgres({ dataDir: join(runDir, 'postgres'), durable: false, onProgress }).then(keep),
    startRedis({ dir: join(runDir, 'redis'), databases: REDIS_DATABASES, onProgress }).then(keep),
    startNats({ storeDir: join(runDir, 'nats'), onProgress }).then(keep),
  ]);
  const adminUrl = settled(postgres).url;
  const passwords = newPasswords();
  await makeTemplate(adminUrl, passwords);
  return {
    adminUrl,
    templateDatabase: TEMPLATE,
    passwords,
    redisUrl: settled(redis).url,
    natsUrl: settled(nats).url,
    runDir,
  };
}

function settled<T>(result: PromiseSettledResult<T>): T {
  if (result.status === 'rejected') throw result.reason;
  return result.value;
}

function newPasswords(): RolePasswords {
  const password = (): string => randomBytes(18).toString('base64url');
  return { migrator: password(), freeside_app: password(), loa_finn_ro: password() };
}

async function makeTemplate(adminUrl: string, passwords: RolePasswords): Promise<void> {
  await bootstrapRoles({
    adminUrl,
    sqlFile: join(MIGRATIONS_DIR, 'bootstrap', 'roles.sql'),
    database: TEMPLATE,
    passwords: { ...passwords },
  });
  await migrate({
    url: databaseUrl(adminUrl, {
      database: TEMPLATE,
      user: 'migrator',
      password: passwords.migrator,
    }),
    migrationsDir: MIGRATIONS_DIR,
    direction: 'up',
  });
  // A template with a session in it can't be cloned.
  await withAdmin(adminUrl, (admin) =>
    admin.query('ALTER DATABASE arrakis_template WITH IS_TEMPLATE true ALLOW_CONNECTIONS false'),
  );
}

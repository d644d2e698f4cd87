import { randomBytes } from 'node:crypto';
import { join, resolve } from 'node:path';
import { bootstrapRoles, migrate } from '@arrakis/postgres';
import type { RolePasswords, TestBackends } from '../databases/test-backends.ts';
import { databaseUrl, withAdmin } from '../databases/test-database.ts';
import { REDIS_DATABASES } from '../databases/test-redis.ts';
import { startNats, type RunningNats } from './nats.ts';
import { startPostgres, type RunningPostgres } from './postgres.ts';
import { startRedis, type RunningRedis } from './redis.ts';

const MIGRATIONS_DIR = resolve(import.meta.dirname, '../../../../migrations');
const TEMPLATE = 'arrakis_template';

export interface OwnBackendsOptions {
  /** Where their files go; the caller makes and removes it. */
  readonly runDir: string;
  /** PostgreSQL with fsync, as in production; without it tests are faster. */
  readonly durable: boolean;
  /** Called with each server as it comes up, also when another of them then fails. */
  readonly onStarted?: (server: { stop(): Promise<void> }) => void;
}

/** Servers that nobody else uses: to be measured, killed and started again. */
export interface OwnBackends extends TestBackends {
  readonly postgres: RunningPostgres;
  readonly redis: RunningRedis;
  readonly nats: RunningNats;
  /** What `startPostgres`, `startRedis`, `startNats` need to start them again. */
  readonly dirs: { readonly postgres: string; readonly redis: string; readonly nats: string };
}

/** Starts PostgreSQL, Redis and NATS, and migrates the template that test databases are cloned from. */
export async function startOwnBackends(options: OwnBackendsOptions): Promise<OwnBackends> {
  const { runDir, durable } = options;
  const dirs = {
    postgres: join(runDir, 'postgres'),
    redis: join(runDir, 'redis'),
    nats: join(runDir, 'nats'),
  };
  const onProgress = (line: string): boolean => process.stderr.write(`[testkit] ${line}\n`);
  const keep = <T extends { stop(): Promise<void> }>(server: T): T => {
    options.onStarted?.(server);
    return server;
  };
  // All of them settle before a failure is reported, so that none starts behind our back.
  const [postgres, redis, nats] = await Promise.allSettled([
    startPostgres({ dataDir: dirs.postgres, durable, onProgress }).then(keep),
    startRedis({ dir: dirs.redis, databases: REDIS_DATABASES, onProgress }).then(keep),
    startNats({ storeDir: dirs.nats, onProgress }).then(keep),
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
    postgres: settled(postgres),
    redis: settled(redis),
    nats: settled(nats),
    dirs,
  };
}

function settled<T>(result: PromiseSettledResult<T>): T {
  if (result.status === 'rejected') throw result.reason;
  return result.value;
}

function newPasswords(): RolePasswords {
  const password = (): string => randomBytes(18).toString('base64url');
  return {
    migrator: password(),
    freeside_app: password(),
    loa_finn_ro: password(),
    jwks_writer: password(),
  };
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

import { readFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { runner } from 'node-pg-migrate';
import pg from 'pg';

export interface MigrateOptions {
  /** Of the role that owns the schema; a direct connection, since the lock belongs to the session. */
  readonly url: string;
  readonly migrationsDir: string;
  readonly direction: 'up' | 'down';
  /** Files to run; by default all that wait (up) or the last one (down). */
  readonly count?: number;
  /** Receives one line per file. */
  readonly log?: (line: string) => void;
}

/** A migration directory that is not as it has to be, or a file that PostgreSQL refused. */
export class MigrationError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'MigrationError';
  }
}

const MIGRATIONS_TABLE = 'freeside_migrations';
/** Ours alone, so that another tool on the same server doesn't wait for us. */
const LOCK_ID = 4_117_065_064;
const FILE_NAME = /^(\d{3})_[a-z0-9_]+\.sql$/;
const UP_MARKER = /^-- Up Migration$/m;
const DOWN_MARKER = /^-- Down Migration$/m;
const STARTED = /^### MIGRATION (\S+) \((?:UP|DOWN)\) ###$/;

/**
 * Runs the SQL files of a directory that have not run yet (or takes the last ones back), in the
 * order of their numbers, each in a transaction of its own together with its row in the migrations
 * table: a process that dies leaves whole files behind, and the next run goes on from there. Runs
 * that come together wait for each other.
 *
 * @returns Names of the files that ran, without `.sql`.
 * @throws MigrationError
 */
export async function migrate(options: MigrateOptions): Promise<string[]> {
  // The runner takes back everything when asked to take back none.
  if (options.count === 0) return [];
  await checkFiles(options.migrationsDir);
  let current: string | undefined;
  const report = (line: string): void => {
    const [, name] = STARTED.exec(line) ?? [];
    if (name === undefined) return;
    current = name;
    options.log?.(`${options.direction} ${name}`);
  };
  const client = new pg.Client({ connectionString: options.url, application_name: 'migrate' });
  // A broken connection also fails the statement under way; unheard, it would end the process.
  client.on('error', () => undefined);
  try {
    await client.connect();
    const ran = await runner({
      dbClient: client,
      dir: options.migrationsDir,
      direction: options.direction,
      ...(options.count === undefined ? {} : { count: options.count }),
      migrationsTable: MIGRATIONS_TABLE,
      migrationsSchema: 'public',
      // Numbers are given out ahead: a file may come after ones with higher numbers have run.
      checkOrder: false,
      advisoryLockMode: 'wait',
      lockValue: LOCK_ID,
      logger: { info: report, warn: () => undefined, error: () => undefined },
    });
    return ran.map((file) => file.name);
  } catch (error) {
    const where = current === undefined ? 'could not run' : `${current} failed`;
    throw new MigrationError(`migrations: ${where}: ${messageOf(error)}`, { cause: error });
  } finally {
    await client.end().catch(() => undefined);
  }
}

/** A file without its markers would run both parts as one; a number used twice has no order. */
async function checkFiles(dir: string): Promise<void> {
  const entries = await readdir(dir, { withFileTypes: true });
  const seen = new Set<string>();
  for (const entry of entries) {
    if (!entry.isFile() || entry.name.startsWith('.')) continue;
    const [, number] = FILE_NAME.exec(entry.name) ?? [];
    if (number === undefined) {
      throw new MigrationError(`migrations: ${entry.name} is not named NNN_verb_noun.sql`);
    }
    if (seen.has(number)) throw new MigrationError(`migrations: number ${number} is used twice`);
    seen.add(number);
    const sql = await readFile(join(dir, entry.name), 'utf8');
    const up = sql.search(UP_MARKER);
    if (up === -1 || sql.search(DOWN_MARKER) < up) {
      throw new MigrationError(
        `migrations: ${entry.name} needs "-- Up Migration" and then "-- Down Migration"`,
      );
    }
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : 'unknown error';
}

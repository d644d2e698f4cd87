import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { Client } from 'pg';
import { locatePostgres } from '../binaries/locate-postgres.ts';
import { silent, type Progress } from '../binaries/progress.ts';
import { unprivilegedIdentity } from '../binaries/run-identity.ts';
import { startBackend, type BackendProcess } from './backend.ts';
import { clusterDirectory, initialiseCluster } from './data-directory.ts';
import { explainDiskFull } from './errors.ts';
import { livingProcess } from './pid-file.ts';
import { commandLine, processStartTime } from './process-identity.ts';
import { keptSecret } from './secret-file.ts';
import { terminate } from './terminate.ts';

export interface PostgresOptions {
  /** Holds password, pid file, log and (where its user can reach it) the cluster. */
  readonly dataDir: string;
  readonly port?: number | undefined;
  /** What a person changes for another port; named when it is busy. */
  readonly portSetting?: string | undefined;
  readonly logFile?: string | undefined;
  /** False: survives the death of every process but not of the machine. Default true. */
  readonly durable?: boolean | undefined;
  readonly onProgress?: Progress | undefined;
}

export interface RunningPostgres extends BackendProcess {
  /** As superuser `postgres`, to the database `postgres`. */
  readonly url: string;
  readonly port: number;
  /** Where the cluster's files really lie. */
  readonly clusterDir: string;
}

export const POSTGRES_PID_FILE = 'postgres.pid';

/**
 * Starts or adopts a PostgreSQL that listens on 127.0.0.1 only, with scram-sha-256 for everyone
 * and a superuser password of its own. As root it runs under an existing unprivileged user.
 */
export async function startPostgres(options: PostgresOptions): Promise<RunningPostgres> {
  try {
    return await start(options);
  } catch (error) {
    throw explainDiskFull(error, 'PostgreSQL', options.dataDir);
  }
}

async function start(options: PostgresOptions): Promise<RunningPostgres> {
  const { dataDir } = options;
  const onProgress = options.onProgress ?? silent;
  const identity = await unprivilegedIdentity();
  const binaries = await locatePostgres({ onProgress, identity });
  const cluster = await clusterDirectory(dataDir, identity, onProgress);
  const password = await keptSecret(join(dataDir, 'password'));
  const durable = options.durable ?? true;
  await assertVersion(cluster, binaries.version);
  const pidFile = join(dataDir, POSTGRES_PID_FILE);
  const urlFor = (port: number): string =>
    `postgres://postgres:${password}@127.0.0.1:${String(port)}/postgres`;

  const backend = await startBackend({
    name: 'PostgreSQL',
    dir: cluster,
    pidFile,
    logFile: options.logFile ?? join(dataDir, 'postgres.log'),
    ports: [{ port: options.port, setting: options.portSetting ?? 'the `port` option' }],
    readyTimeoutMs: 60_000,
    prepare: async ([port = 0]) => {
      await endUnrecorded(cluster, pidFile);
      await initialiseCluster({
        initdb: binaries.initdb,
        cluster,
        password,
        identity,
        sync: durable,
      });
      return {
        command: binaries.postgres,
        args: ['-D', cluster, ...settings(port, durable)],
        env: { PATH: '/usr/bin:/bin', LC_ALL: 'C', TZ: 'UTC' },
        identity,
      };
    },
    probe: ([port = 0]) => selectOne(urlFor(port)),
  });
  const port = backend.ports[0] ?? 0;
  return { ...backend, port, url: urlFor(port), clusterDir: cluster };
}

function settings(port: number, durable: boolean): string[] {
  const onOff = durable ? 'on' : 'off';
  const values: Record<string, string> = {
    listen_addresses: '127.0.0.1',
    port: String(port),
    unix_socket_directories: '',
    max_connections: '200',
    shared_buffers: '96MB',
    fsync: onOff,
    full_page_writes: onOff,
    // Even without fsync, what was acknowledged survives the death of every process.
    synchronous_commit: 'on',
    password_encryption: 'scram-sha-256',
    timezone: 'UTC',
    log_timezone: 'UTC',
    log_line_prefix: '%m [%p] %q%u@%d ',
    // Values of statements are data of our users.
    log_parameter_max_length: '0',
    log_parameter_max_length_on_error: '0',
  };
  return Object.entries(values).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
}

async function selectOne(url: string): Promise<void> {
  const client = new Client({
    connectionString: url,
    connectionTimeoutMillis: 2_000,
    query_timeout: 2_000,
  });
  client.on('error', () => undefined);
  try {
    await client.connect();
    await client.query('SELECT 1');
  } finally {
    await client.end().catch(() => undefined);
  }
}

async function assertVersion(cluster: string, version: string): Promise<void> {
  const made = (await readFile(join(cluster, 'PG_VERSION'), 'utf8').catch(() => '')).trim();
  const [major = ''] = version.split('.');
  if (made === '' || made === major) return;
  throw new Error(
    `${cluster} was made by PostgreSQL ${made}, but this is ${major}: move its data with pg_dump, or remove it`,
  );
}

/**
 * A start that was itself killed may have left a server that no pid file of ours names. It is ours
 * only if its own pid file says so and its command line names this very cluster. A stale lock file
 * whose pid now belongs to somebody else would keep PostgreSQL from starting: it goes.
 */
async function endUnrecorded(cluster: string, pidFile: string): Promise<void> {
  const lockFile = join(cluster, 'postmaster.pid');
  const [line = ''] = (await readFile(lockFile, 'utf8').catch(() => '')).split('\n');
  const pid = Number.parseInt(line, 10);
  if (!Number.isSafeInteger(pid) || pid <= 1 || (await livingProcess(pidFile))?.pid === pid) return;
  const startTime = await processStartTime(pid);
  if (startTime !== undefined && (await commandLine(pid)).includes(cluster)) {
    await terminate({ pid, startTime, ports: [] }, 'SIGINT');
    return;
  }
  await rm(lockFile, { force: true });
}

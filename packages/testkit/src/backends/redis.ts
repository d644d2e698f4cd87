import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { locateRedis } from '../binaries/locate-redis.ts';
import type { Progress } from '../binaries/progress.ts';
import { startBackend, type BackendProcess } from './backend.ts';
import { keptSecret, privateDirectory } from './secret-file.ts';

export interface RedisOptions {
  /** Holds configuration, password, pid file and data. */
  readonly dir: string;
  readonly port?: number | undefined;
  /** What a person changes for another port; named when it is busy. */
  readonly portSetting?: string | undefined;
  readonly logFile?: string | undefined;
  /** Keep what is written across restarts (append-only file, synced each second). */
  readonly appendOnly?: boolean | undefined;
  /** Numbered databases, 16 unless said otherwise. */
  readonly databases?: number | undefined;
  readonly onProgress?: Progress | undefined;
}

export interface RunningRedis extends BackendProcess {
  readonly url: string;
  readonly port: number;
}

export const REDIS_PID_FILE = 'redis.pid';

/** Starts or adopts a Redis on 127.0.0.1 that asks for a password. */
export async function startRedis(options: RedisOptions): Promise<RunningRedis> {
  const { dir } = options;
  await privateDirectory(dir);
  const command = await locateRedis({ onProgress: options.onProgress });
  const password = await keptSecret(join(dir, 'password'));
  const configFile = join(dir, 'redis.conf');
  const urlFor = (port: number): string => `redis://:${password}@127.0.0.1:${String(port)}`;

  const backend = await startBackend({
    name: 'Redis',
    dir,
    pidFile: join(dir, REDIS_PID_FILE),
    logFile: options.logFile ?? join(dir, 'redis.log'),
    ports: [{ port: options.port, setting: options.portSetting ?? 'the `port` option' }],
    readyTimeoutMs: 60_000,
    prepare: async ([port = 0]) => {
      await writeFile(configFile, configuration(options, port, password), { mode: 0o600 });
      return { command, args: [configFile], env: { LC_ALL: 'C' } };
    },
    probe: ([port = 0]) => ping(urlFor(port)),
  });
  const port = backend.ports[0] ?? 0;
  return { ...backend, port, url: urlFor(port) };
}

/** A file, because arguments can be read by everyone with `ps`. */
function configuration(options: RedisOptions, port: number, password: string): string {
  return [
    'bind 127.0.0.1',
    `port ${String(port)}`,
    'protected-mode yes',
    `requirepass ${password}`,
    `dir ${JSON.stringify(options.dir)}`,
    'save ""',
    `appendonly ${options.appendOnly ? 'yes' : 'no'}`,
    'appendfsync everysec',
    `databases ${String(options.databases ?? 16)}`,
    'daemonize no',
    'logfile ""',
    // Evicting a consumed token id would let the token run a second time.
    'maxmemory-policy noeviction',
    '',
  ].join('\n');
}

async function ping(url: string): Promise<void> {
  const client = new Redis(url, {
    lazyConnect: true,
    connectTimeout: 2_000,
    commandTimeout: 2_000,
    socketTimeout: 2_000,
    retryStrategy: () => null,
    maxRetriesPerRequest: 0,
  });
  client.on('error', () => undefined);
  try {
    await client.connect();
    await client.ping();
  } finally {
    client.disconnect();
  }
}

import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { chmod, mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { createServer, connect, type AddressInfo } from 'node:net';
import { networkInterfaces, tmpdir } from 'node:os';
import { join } from 'node:path';
import { spawn } from 'node:child_process';
import { jetstream, jetstreamManager } from '@nats-io/jetstream';
import { connect as connectNats } from '@nats-io/transport-node';
import { Redis } from 'ioredis';
import { Client } from 'pg';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { runCommand } from '../binaries/run-command.ts';
import { waitFor } from '../processes/wait-for.ts';
import { findBackend, startBackend, type BackendProcess, type BackendSpec } from './backend.ts';
import { PortBusyError } from './errors.ts';
import { findFreePort } from './free-port.ts';
import { startNats } from './nats.ts';
import { livingProcess, readPidFile } from './pid-file.ts';
import { startPostgres } from './postgres.ts';
import { startRedis } from './redis.ts';

interface StartedBackend extends BackendProcess {
  readonly url: string;
  readonly port: number;
}

let dir: string;
const started: BackendProcess[] = [];

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'arrakis-backends-'));
  await chmod(dir, 0o755);
});
afterEach(async () => {
  await Promise.all(started.splice(0).map((backend) => backend.kill()));
  await rm(dir, { recursive: true, force: true });
});

async function tracked<T extends BackendProcess>(starting: Promise<T>): Promise<T> {
  const backend = await starting;
  started.push(backend);
  return backend;
}

const kinds = [
  {
    name: 'PostgreSQL',
    pidFile: 'postgres.pid',
    start: (port?: number): Promise<StartedBackend> =>
      tracked(startPostgres({ dataDir: dir, port, portSetting: 'PG_PORT', durable: false })),
    write: (url: string) =>
      withPostgres(url, async (client) => {
        await client.query('CREATE TABLE kept (id int)');
        await client.query('INSERT INTO kept VALUES (42)');
      }),
    read: (url: string) =>
      withPostgres(url, async (client) => {
        const { rows } = await client.query<{ id: number }>('SELECT id FROM kept');
        return rows.map((row) => String(row.id));
      }),
  },
  {
    name: 'Redis',
    pidFile: 'redis.pid',
    start: (port?: number): Promise<StartedBackend> =>
      tracked(startRedis({ dir, port, portSetting: 'PG_PORT', appendOnly: true })),
    write: (url: string) => withRedis(url, (redis) => redis.set('kept', '42')),
    read: (url: string) => withRedis(url, async (redis) => [await redis.get('kept')]),
  },
  {
    name: 'NATS',
    pidFile: 'nats.pid',
    start: (port?: number): Promise<StartedBackend> =>
      tracked(startNats({ storeDir: dir, port, portSetting: 'PG_PORT' })),
    write: (url: string) =>
      withJetStream(url, async ({ manager, publish }) => {
        await manager.streams.add({ name: 'KEPT', subjects: ['kept'] });
        await publish('kept', '42');
      }),
    read: (url: string) =>
      withJetStream(url, async ({ manager }) => {
        const message = await manager.streams.getMessage('KEPT', { seq: 1 });
        return [message?.string() ?? null];
      }),
  },
] as const;

describe.each(kinds)('$name', ({ pidFile, start, write, read }) => {
  it('is adopted by a second start, and gone after a stop', async () => {
    const first = await start();
    const second = await start();
    expect(first.adopted).toBe(false);
    expect(second).toMatchObject({
      adopted: true,
      pid: first.pid,
      port: first.port,
      url: first.url,
    });

    const found = await findBackend(join(dir, pidFile));
    expect(found?.pid).toBe(first.pid);
    await found?.stop();
    expect(existsSync(join(dir, pidFile))).toBe(false);
    await expect(read(first.url)).rejects.toThrow();
  });

  it('keeps its data over a kill and a start on the same port', async () => {
    const first = await start();
    await write(first.url);
    await first.kill();
    expect(await livingProcess(join(dir, pidFile))).toBeUndefined();
    const second = await start(first.port);
    expect(second).toMatchObject({ adopted: false, url: first.url });
    expect(await read(second.url)).toEqual(['42']);
  });

  it('moves to another port when it is told to', async () => {
    const first = await start();
    const port = await findFreePort();
    const second = await start(port);
    expect(second.port).toBe(port);
    expect(second.pid).not.toBe(first.pid);
  });

  it('says which port is busy and what to change', async () => {
    const squatter = createServer().listen(0, '127.0.0.1');
    await once(squatter, 'listening');
    const { port } = squatter.address() as AddressInfo;
    const failure = await start(port).catch((error: unknown) => error);
    squatter.close();
    expect(failure).toBeInstanceOf(PortBusyError);
    expect(failure).toMatchObject({ port });
    expect(String(failure)).toContain(String(port));
    expect(String(failure)).toContain('PG_PORT');
  });

  it('lets nobody in without its password, which only its owner can read', async () => {
    const { url } = await start();
    const wrong = new URL(url);
    wrong.password = 'wrong';
    await expect(read(wrong.href)).rejects.toThrow();
    const { mode } = await stat(join(dir, 'password'));
    expect(mode & 0o777).toBe(0o600);
    const kept = (await readFile(join(dir, 'password'), 'utf8')).trim();
    expect(url).toContain(kept);
  });

  it('listens on the loopback address only', async () => {
    const { port } = await start();
    expect(await accepts('127.0.0.1', port)).toBe(true);
    const outside = Object.values(networkInterfaces())
      .flat()
      .filter((address) => address?.family === 'IPv4' && !address.internal);
    for (const address of outside) expect(await accepts(address!.address, port)).toBe(false);
  });
});

describe('a pid file', () => {
  it('never brings death to a later process that got the same pid', async () => {
    const bystander = spawn('sleep', ['60']);
    await once(bystander, 'spawn');
    await writeFile(join(dir, 'redis.pid'), `${bystander.pid!}\nanother start time\n6379\n`);
    const redis = await tracked(startRedis({ dir }));
    expect(redis).toMatchObject({ adopted: false });
    expect(bystander.exitCode).toBeNull();
    expect(bystander.signalCode).toBeNull();
    bystander.kill();
  });

  it('of garbage counts as none', async () => {
    await writeFile(join(dir, 'redis.pid'), 'not a pid');
    expect(await readPidFile(join(dir, 'redis.pid'))).toBeUndefined();
    await expect(tracked(startRedis({ dir }))).resolves.toMatchObject({ adopted: false });
  });
});

describe('a start', () => {
  const shell = (script: string, change: Partial<BackendSpec> = {}): BackendSpec => ({
    name: 'Toy',
    dir,
    pidFile: join(dir, 'toy.pid'),
    logFile: join(dir, 'toy.log'),
    ports: [{ port: undefined, setting: 'TOY_PORT' }],
    readyTimeoutMs: 30_000,
    prepare: () => Promise.resolve({ command: '/bin/sh', args: ['-c', script], env: {} }),
    probe: () => Promise.resolve(),
    ...change,
  });

  it('that fails names the log and shows its end', async () => {
    await writeFile(join(dir, 'toy.log'), 'a line of last week\n');
    const failure = await startBackend(shell('echo it went wrong >&2; exit 3')).catch(String);
    expect(failure).toContain('it ended');
    expect(failure).toContain(join(dir, 'toy.log'));
    expect(failure).toContain('it went wrong');
    expect(failure).not.toContain('last week');
  });

  it('that never gets ready is ended', async () => {
    const failure = await startBackend(shell('exec sleep 60', { readyTimeoutMs: 300 })).catch(
      String,
    );
    expect(failure).toContain('did not answer within 300 ms');
    expect(await livingProcess(join(dir, 'toy.pid'))).toBeUndefined();
  });

  it('on a full disk says so', async () => {
    const failure = await startBackend(
      shell('echo "could not write: No space left on device" >&2; exit 1'),
    ).catch(String);
    expect(failure).toContain('The disk is full');
    expect(failure).toContain(dir);
  });

  it('replaces an instance that hangs', async () => {
    const first = await tracked(startRedis({ dir }));
    process.kill(first.pid, 'SIGSTOP');
    const second = await tracked(startRedis({ dir }));
    expect(second.adopted).toBe(false);
    expect(second.pid).not.toBe(first.pid);
    expect(await withRedis(second.url, (redis) => redis.ping())).toBe('PONG');
  });

  it('of PostgreSQL throws away the rest of one that was cut short', async () => {
    await mkdir(join(dir, 'pgdata.partial', 'global'), { recursive: true });
    await writeFile(join(dir, 'pgdata.partial', 'PG_VERSION'), '18\n');
    const postgres = await tracked(startPostgres({ dataDir: dir, durable: false }));
    expect(postgres.adopted).toBe(false);
    expect(existsSync(join(dir, 'pgdata.partial'))).toBe(false);
  });

  it('of PostgreSQL refuses a cluster of another major version', async () => {
    await mkdir(join(dir, 'pgdata'));
    await writeFile(join(dir, 'pgdata', 'PG_VERSION'), '12\n');
    await expect(startPostgres({ dataDir: dir })).rejects.toThrow('was made by PostgreSQL 12');
  });

  it('leaves no process behind when its pid file cannot be written', async () => {
    const seconds = `60.${String(process.pid)}`;
    const spec = shell(`exec sleep ${seconds}`, { pidFile: join(dir, 'missing', 'toy.pid') });
    await expect(startBackend(spec)).rejects.toMatchObject({ code: 'ENOENT' });
    await waitFor(async () => {
      const { stdout } = await runCommand('ps', ['-eo', 'args']);
      return !stdout.includes(`sleep ${seconds}`);
    });
  });

  it('of PostgreSQL ends a server that no pid file names', async () => {
    const first = await tracked(startPostgres({ dataDir: dir, durable: false }));
    await rm(join(dir, 'postgres.pid'));
    const second = await tracked(startPostgres({ dataDir: dir, durable: false }));
    expect(second.pid).not.toBe(first.pid);
    await expect(withPostgres(first.url, (client) => client.query('SELECT 1'))).rejects.toThrow();
  });
});

async function withPostgres<T>(url: string, use: (client: Client) => Promise<T>): Promise<T> {
  const client = new Client({ connectionString: url });
  client.on('error', () => undefined);
  await client.connect();
  try {
    return await use(client);
  } finally {
    await client.end();
  }
}

async function withRedis<T>(url: string, use: (redis: Redis) => Promise<T>): Promise<T> {
  const redis = new Redis(url, { lazyConnect: true, retryStrategy: () => null });
  redis.on('error', () => undefined);
  try {
    await redis.connect();
    return await use(redis);
  } finally {
    redis.disconnect();
  }
}

interface JetStream {
  readonly manager: Awaited<ReturnType<typeof jetstreamManager>>;
  readonly publish: (subject: string, data: string) => Promise<unknown>;
}

async function withJetStream<T>(url: string, use: (stream: JetStream) => Promise<T>): Promise<T> {
  const { host, username, password } = new URL(url);
  const connection = await connectNats({
    servers: host,
    user: username,
    pass: password,
    reconnect: false,
    timeout: 2_000,
  });
  try {
    const manager = await jetstreamManager(connection);
    const client = jetstream(connection);
    return await use({ manager, publish: (subject, data) => client.publish(subject, data) });
  } finally {
    await connection.close();
  }
}

async function accepts(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host, port, timeout: 1_000 });
    const answer = (value: boolean) => () => {
      socket.destroy();
      resolve(value);
    };
    socket.once('connect', answer(true));
    socket.once('error', answer(false));
    socket.once('timeout', answer(false));
  });
}

import { join } from 'node:path';
import {
  DiskFullError,
  MissingToolError,
  PortBusyError,
  startNats,
  startPostgres,
  startRedis,
  type BackendProcess,
} from '@arrakis/testkit';
import { PlainError } from '../../lib/plain-error.ts';
import type { Done, Progress } from '../report.ts';
import { PORT_VARIABLES, type Stack } from '../stack.ts';
import { logFileOf } from '../state.ts';

/** Starts PostgreSQL or adopts the one that runs; returns its URL for the superuser. */
export function ensurePostgres(
  { folders, ports }: Stack,
  onProgress: Progress,
): Promise<Done<string>> {
  return inWords(async () => {
    const backend = await startPostgres({
      dataDir: join(folders.data, 'postgres'),
      port: ports.postgres,
      portSetting: PORT_VARIABLES.postgres,
      logFile: logFileOf(folders, 'postgres'),
      onProgress,
    });
    return done(backend, ports.postgres, backend.url);
  });
}

/** Starts Redis or adopts the one that runs; returns its URL. */
export function ensureRedis(
  { folders, ports }: Stack,
  onProgress: Progress,
): Promise<Done<string>> {
  return inWords(async () => {
    const backend = await startRedis({
      dir: join(folders.data, 'redis'),
      port: ports.redis,
      portSetting: PORT_VARIABLES.redis,
      logFile: logFileOf(folders, 'redis'),
      // What was consumed once must stay consumed across a restart.
      appendOnly: true,
      onProgress,
    });
    return done(backend, ports.redis, backend.url);
  });
}

/** Starts NATS with JetStream or adopts the one that runs; returns its URL. */
export function ensureNats({ folders, ports }: Stack, onProgress: Progress): Promise<Done<string>> {
  return inWords(async () => {
    const backend = await startNats({
      storeDir: join(folders.data, 'nats'),
      port: ports.nats,
      portSetting: PORT_VARIABLES.nats,
      monitorPort: ports.natsMonitor,
      monitorPortSetting: PORT_VARIABLES.natsMonitor,
      logFile: logFileOf(folders, 'nats'),
      binaryDir: join(folders.state, 'bin'),
      onProgress,
    });
    return done(backend, ports.nats, backend.url);
  });
}

function done(backend: BackendProcess, port: number, url: string): Done<string> {
  const how = backend.adopted ? 'was running' : 'started';
  return { did: `${how} on port ${String(port)}`, value: url };
}

/** The testkit's own errors say what to do already. */
async function inWords<T>(start: () => Promise<T>): Promise<T> {
  try {
    return await start();
  } catch (error) {
    const isPlain =
      error instanceof MissingToolError ||
      error instanceof PortBusyError ||
      error instanceof DiskFullError;
    if (!isPlain) throw error;
    throw new PlainError(error.message, ['Then run make up again: it goes on from here.'], {
      cause: error,
    });
  }
}

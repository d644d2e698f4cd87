import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { jetstreamManager } from '@nats-io/jetstream';
import { connect } from '@nats-io/transport-node';
import { locateNats } from '../binaries/locate-nats.ts';
import type { Progress } from '../binaries/progress.ts';
import { startBackend, type BackendProcess } from './backend.ts';
import { keptSecret, privateDirectory } from './secret-file.ts';

export interface NatsOptions {
  /** Holds configuration, password, pid file and the streams. */
  readonly storeDir: string;
  readonly port?: number | undefined;
  readonly portSetting?: string | undefined;
  readonly monitorPort?: number | undefined;
  readonly monitorPortSetting?: string | undefined;
  readonly logFile?: string | undefined;
  /** Where a downloaded `nats-server` is kept; by default `.arrakis/bin` of the repository. */
  readonly binaryDir?: string | undefined;
  readonly onProgress?: Progress | undefined;
}

export interface RunningNats extends BackendProcess {
  /** With user and password: `nats://arrakis:…@127.0.0.1:port`. */
  readonly url: string;
  readonly port: number;
  readonly monitorPort: number;
  readonly monitorUrl: string;
}

export const NATS_PID_FILE = 'nats.pid';
const USER = 'arrakis';

/** Starts or adopts a nats-server with a JetStream file store on 127.0.0.1. */
export async function startNats(options: NatsOptions): Promise<RunningNats> {
  const { storeDir } = options;
  await privateDirectory(storeDir);
  const { binaryDir, onProgress } = options;
  const command = await locateNats({ binaryDir, onProgress });
  const password = await keptSecret(join(storeDir, 'password'));
  const configFile = join(storeDir, 'nats.conf');

  const backend = await startBackend({
    name: 'NATS',
    dir: storeDir,
    pidFile: join(storeDir, NATS_PID_FILE),
    logFile: options.logFile ?? join(storeDir, 'nats.log'),
    ports: [
      { port: options.port, setting: options.portSetting ?? 'the `port` option' },
      {
        port: options.monitorPort,
        setting: options.monitorPortSetting ?? 'the `monitorPort` option',
      },
    ],
    readyTimeoutMs: 60_000,
    prepare: async ([port = 0, monitorPort = 0]) => {
      const text = configuration({ storeDir, port, monitorPort, password });
      await writeFile(configFile, text, { mode: 0o600 });
      return { command, args: ['-c', configFile], env: { LC_ALL: 'C' } };
    },
    probe: ([port = 0]) => readAccount(port, password),
  });
  const [port = 0, monitorPort = 0] = backend.ports;
  const url = `nats://${USER}:${password}@127.0.0.1:${String(port)}`;
  return {
    ...backend,
    port,
    monitorPort,
    url,
    monitorUrl: `http://127.0.0.1:${String(monitorPort)}`,
  };
}

function configuration(init: {
  storeDir: string;
  port: number;
  monitorPort: number;
  password: string;
}): string {
  return `server_name: arrakis
host: 127.0.0.1
port: ${String(init.port)}
http: "127.0.0.1:${String(init.monitorPort)}"
jetstream {
  store_dir: ${JSON.stringify(init.storeDir)}
}
authorization {
  user: ${USER}
  password: ${JSON.stringify(init.password)}
}
`;
}

async function readAccount(port: number, password: string): Promise<void> {
  const connection = await connect({
    servers: `127.0.0.1:${String(port)}`,
    user: USER,
    pass: password,
    timeout: 2_000,
    reconnect: false,
  });
  try {
    const manager = await jetstreamManager(connection, { timeout: 2_000 });
    await manager.getAccountInfo();
  } finally {
    await connection.close();
  }
}

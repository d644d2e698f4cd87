import { mkdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { integerEnv } from '../lib/env.ts';

/** Everything that `make up` keeps, under `.arrakis/`. */
export interface Folders {
  readonly root: string;
  readonly state: string;
  readonly logs: string;
  /** Pid files of the services, and what they were started with. */
  readonly run: string;
  readonly data: string;
  readonly models: string;
  readonly keys: string;
  readonly spool: string;
  readonly temporary: string;
}

/** Processes in the order in which they start; they stop in the opposite one. */
export const PROCESS_NAMES = [
  'postgres',
  'redis',
  'nats',
  'fake-nowpayments',
  'finn',
  'freeside-api',
  'freeside-worker',
] as const;
export type ProcessName = (typeof PROCESS_NAMES)[number];

/** Where everything listens unless it is moved. */
export const DEFAULT_PORTS = {
  freeside: 3000,
  freesideAdmin: 9300,
  freesideWorkerAdmin: 9301,
  finn: 3001,
  finnAdmin: 9302,
  postgres: 15432,
  redis: 16379,
  nats: 14222,
  natsMonitor: 18222,
  fakeNowpayments: 18080,
} as const;
export type PortName = keyof typeof DEFAULT_PORTS;
export type Ports = Readonly<Record<PortName, number>>;

/** The variable that moves one port; `PORT_OFFSET` moves them all. */
export const PORT_VARIABLES: Readonly<Record<PortName, string>> = {
  freeside: 'FREESIDE_PORT',
  freesideAdmin: 'FREESIDE_ADMIN_PORT',
  freesideWorkerAdmin: 'FREESIDE_WORKER_ADMIN_PORT',
  finn: 'FINN_PORT',
  finnAdmin: 'FINN_ADMIN_PORT',
  postgres: 'POSTGRES_PORT',
  redis: 'REDIS_PORT',
  nats: 'NATS_PORT',
  natsMonitor: 'NATS_MONITOR_PORT',
  fakeNowpayments: 'FAKE_NOWPAYMENTS_PORT',
};

export const PORT_NAMES = Object.keys(DEFAULT_PORTS) as PortName[];

export const HOST = '127.0.0.1';

export function url(port: number): string {
  return `http://${HOST}:${String(port)}`;
}

export interface Stack {
  readonly folders: Folders;
  readonly ports: Ports;
}

export function locateFolders(): Folders {
  const root = resolve(import.meta.dirname, '../..');
  const state = join(root, '.arrakis');
  return {
    root,
    state,
    logs: join(state, 'logs'),
    run: join(state, 'run'),
    data: join(state, 'data'),
    models: join(state, 'models'),
    keys: join(state, 'keys'),
    spool: join(state, 'data', 'finn-spool'),
    temporary: join(state, 'tmp'),
  };
}

export function makeFolders(folders: Folders): void {
  for (const folder of [
    folders.logs,
    folders.run,
    folders.data,
    folders.models,
    folders.temporary,
  ]) {
    mkdirSync(folder, { recursive: true });
  }
  for (const folder of [folders.keys, folders.spool]) {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
  }
}

/**
 * The ports to use: the environment decides; where it is silent, `remembered` (what an earlier
 * start uses) does, so that PORT_OFFSET need not be repeated.
 *
 * @throws EnvError when a variable is no port.
 */
export function choosePorts(remembered: Ports | undefined): Ports {
  const offset = integerEnv('PORT_OFFSET', { min: 0, max: 40_000 });
  const port = (name: PortName): number =>
    integerEnv(PORT_VARIABLES[name], { min: 1, max: 65_535 }) ??
    (offset === undefined ? remembered?.[name] : undefined) ??
    DEFAULT_PORTS[name] + (offset ?? 0);
  return Object.fromEntries(PORT_NAMES.map((name) => [name, port(name)])) as Record<
    PortName,
    number
  >;
}

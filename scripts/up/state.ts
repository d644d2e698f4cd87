import { existsSync, linkSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import {
  NATS_PID_FILE,
  POSTGRES_PID_FILE,
  REDIS_PID_FILE,
  livingProcess,
  writePidFile,
  type PidRecord,
} from '@arrakis/testkit';
import { readIfExists, writeWhole } from '../lib/files.ts';
import { PlainError } from '../lib/plain-error.ts';
import { DEFAULT_PORTS, PORT_NAMES, type Folders, type Ports, type ProcessName } from './stack.ts';

/**
 * What is known of earlier starts: a pid file per process, written as soon as it runs, so that a
 * start cut short leaves nothing unknown behind; the ports; and a lock.
 */

export interface RunningProcess extends PidRecord {
  readonly since: Date;
}

export function pidFileOf({ data, run }: Folders, name: ProcessName): string {
  switch (name) {
    case 'postgres':
      return join(data, name, POSTGRES_PID_FILE);
    case 'redis':
      return join(data, name, REDIS_PID_FILE);
    case 'nats':
      return join(data, name, NATS_PID_FILE);
    case 'fake-nowpayments':
    case 'finn':
    case 'freeside-api':
    case 'freeside-worker':
      return join(run, `${name}.pid`);
  }
}

export function logFileOf({ logs }: Folders, name: ProcessName): string {
  return join(logs, `${name}.log`);
}

/** The process under that name, if make up started it and it still runs. */
export async function runningProcess(
  folders: Folders,
  name: ProcessName,
): Promise<RunningProcess | undefined> {
  const file = pidFileOf(folders, name);
  const record = await livingProcess(file);
  return record === undefined ? undefined : { ...record, since: statSync(file).mtime };
}

function portsFile(folders: Folders): string {
  return join(folders.state, 'ports.json');
}

/** The ports of the latest start, with what came later at its default; undefined when there was none. */
export function readPorts(folders: Folders): Ports | undefined {
  try {
    const ports = JSON.parse(readIfExists(portsFile(folders)) ?? '') as Partial<Ports>;
    const complete = { ...DEFAULT_PORTS, ...ports };
    return PORT_NAMES.every((name) => Number.isInteger(complete[name])) ? complete : undefined;
  } catch {
    return undefined;
  }
}

export function writePorts(folders: Folders, ports: Ports): void {
  writeWhole(portsFile(folders), `${JSON.stringify(ports, null, 2)}\n`);
}

function vendorFile(folders: Folders): string {
  return join(folders.run, 'real-vendor');
}

/** Whether the latest start was told of a real payment vendor, so that the fake is not to run. */
export function hasRealVendor(folders: Folders): boolean {
  return existsSync(vendorFile(folders));
}

export function noteRealVendor(folders: Folders, isReal: boolean): void {
  if (isReal) writeWhole(vendorFile(folders), '');
  else rmSync(vendorFile(folders), { force: true });
}

function lockFile(folders: Folders): string {
  return join(folders.state, 'lock');
}

/**
 * Holds `.arrakis/lock` while `work` runs, so that two commands never start or stop things at
 * once. A lock whose owner is gone is taken over.
 */
export async function withLock<T>(folders: Folders, work: () => Promise<T>): Promise<T> {
  const own = join(folders.state, `lock.${String(process.pid)}`);
  await writePidFile(own, process.pid);
  try {
    await takeLock(own, lockFile(folders));
  } finally {
    rmSync(own, { force: true });
  }
  try {
    return await work();
  } finally {
    rmSync(lockFile(folders), { force: true });
  }
}

/** For ^C: gives the lock back if it is ours. */
export function dropLock(folders: Folders): void {
  const owner = readIfExists(lockFile(folders))?.split('\n')[0];
  if (owner === String(process.pid)) rmSync(lockFile(folders), { force: true });
}

async function takeLock(own: string, lock: string): Promise<void> {
  for (let attempt = 0; attempt < 2; attempt += 1) {
    try {
      // A link either appears with its content or not at all.
      linkSync(own, lock);
      return;
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error;
    }
    const owner = await livingProcess(lock);
    if (owner !== undefined) {
      throw new PlainError(`Another make is at work here (pid ${String(owner.pid)}).`, [
        'Wait for it to end, or stop it with ^C in its terminal.',
      ]);
    }
    rmSync(lock, { force: true });
  }
  throw new PlainError('Another make took the lock at the same moment.', ['Try again.']);
}

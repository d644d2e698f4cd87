import { writeFileSync } from 'node:fs';
import { readFile, rm } from 'node:fs/promises';
import { processStartTime } from './process-identity.ts';

/** Three lines of text: the pid (as any pid file), the start time, the ports. */
export interface PidRecord {
  readonly pid: number;
  readonly startTime: string;
  readonly ports: readonly number[];
}

/** Notes a process that has just been started. */
export async function writePidFile(
  path: string,
  pid: number,
  ports: readonly number[] = [],
): Promise<PidRecord | undefined> {
  const startTime = await processStartTime(pid);
  if (startTime === undefined) return undefined;
  const record = { pid, startTime, ports };
  writeFileSync(path, `${String(pid)}\n${startTime}\n${ports.join(' ')}\n`, { mode: 0o644 });
  return record;
}

export async function readPidFile(path: string): Promise<PidRecord | undefined> {
  const text = await readFile(path, 'utf8').catch(() => '');
  const [pidText = '', startTime = '', portsText = ''] = text.split('\n');
  const pid = Number.parseInt(pidText, 10);
  if (!Number.isSafeInteger(pid) || pid <= 1 || startTime === '') return undefined;
  const ports = portsText.split(' ').filter(Boolean).map(Number);
  return { pid, startTime, ports };
}

export async function removePidFile(path: string): Promise<void> {
  await rm(path, { force: true });
}

/** Whether the process that the record names still runs, and not a later one with its pid. */
export async function isAlive(record: PidRecord): Promise<boolean> {
  return (await processStartTime(record.pid)) === record.startTime;
}

/** The process that the file names, if it still runs. */
export async function livingProcess(path: string): Promise<PidRecord | undefined> {
  const record = await readPidFile(path);
  return record !== undefined && (await isAlive(record)) ? record : undefined;
}

import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { isAlive, readPidFile, writePidFile } from './pid-file.ts';
import { processStartTime } from './process-identity.ts';
import { terminate } from './terminate.ts';

/**
 * The directory in which every backend of a test run is noted, whichever process starts it: vitest's
 * workers, and what tests spawn, inherit the variable. It lies apart from the backends' own
 * directories, because a test may remove those and leave the process. Unset outside of test runs:
 * what `make up` starts is meant to stay.
 */
const REGISTRY_VARIABLE = 'ARRAKIS_TEST_PROCESSES';
const GRACE_MS = 3_000;

/** From now on this process and its children note what they start there. */
export function useRegistry(dir: string): void {
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  process.env[REGISTRY_VARIABLE] = dir;
}

/**
 * To be called in the same turn as the spawn: whoever dies a moment later has still left a note.
 * Until {@link confirmProcess} it is the pid alone.
 */
export function registerProcess(pid: number | undefined): void {
  const dir = process.env[REGISTRY_VARIABLE];
  if (dir === undefined || pid === undefined) return;
  try {
    writeFileSync(entryOf(dir, pid), `${String(pid)}\n`);
  } catch {
    // The run is over and its registry gone: whoever still starts something is about to be killed.
  }
}

/** Adds the start time, so that the pid's next owner is safe. */
export async function confirmProcess(pid: number): Promise<void> {
  const dir = process.env[REGISTRY_VARIABLE];
  if (dir !== undefined) await writePidFile(entryOf(dir, pid), pid).catch(() => undefined);
}

/** Ends every noted process that still runs, and says how many those were. */
export async function endRegistered(dir: string): Promise<number> {
  const ended = await Promise.all(pidsIn(dir).map((pid) => endProcess(dir, pid)));
  return ended.filter(Boolean).length;
}

async function endProcess(dir: string, pid: number): Promise<boolean> {
  const path = entryOf(dir, pid);
  const noted = await readPidFile(path);
  // Without a start time it was spawned within the last moments: the pid can't be another's yet.
  const startTime = noted?.startTime ?? (await processStartTime(pid));
  const record = startTime === undefined ? undefined : { pid, startTime, ports: [] };
  const isRunning = record !== undefined && (await isAlive(record));
  if (isRunning) await terminate(record, 'SIGINT', GRACE_MS);
  await rm(path, { force: true });
  return isRunning;
}

function pidsIn(dir: string): number[] {
  try {
    return readdirSync(dir)
      .map(Number)
      .filter((pid) => Number.isSafeInteger(pid) && pid > 1);
  } catch {
    return [];
  }
}

function entryOf(dir: string, pid: number): string {
  return join(dir, String(pid));
}

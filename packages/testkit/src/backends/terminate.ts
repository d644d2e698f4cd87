import { setTimeout as pause } from 'node:timers/promises';
import { isAlive, type PidRecord } from './pid-file.ts';

const POLL_MS = 15;

/** Sends a signal to exactly that process; false when it no longer runs. */
export async function signalProcess(record: PidRecord, signal: NodeJS.Signals): Promise<boolean> {
  if (!(await isAlive(record))) return false;
  try {
    process.kill(record.pid, signal);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false;
    throw error;
  }
}

/** Resolves with true as soon as the process is gone, with false after `timeoutMs`. */
export async function waitForExit(record: PidRecord, timeoutMs: number): Promise<boolean> {
  const deadline = performance.now() + timeoutMs;
  while (await isAlive(record)) {
    if (performance.now() > deadline) return false;
    await pause(POLL_MS);
  }
  return true;
}

/** Asks the process to end, and ends it when it hasn't after `graceMs`. */
export async function terminate(
  record: PidRecord,
  signal: NodeJS.Signals = 'SIGTERM',
  graceMs = 10_000,
): Promise<void> {
  await signalProcess(record, signal);
  if (await waitForExit(record, graceMs)) return;
  await signalProcess(record, 'SIGKILL');
  if (!(await waitForExit(record, 5_000))) {
    throw new Error(`process ${record.pid} does not end, not even when killed`);
  }
}

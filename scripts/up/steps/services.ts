import { join } from 'node:path';
import { livingProcess, writePidFile } from '@arrakis/testkit';
import { baseEnv } from '../../lib/env.ts';
import { readIfExists, writeWhole } from '../../lib/files.ts';
import { PlainError } from '../../lib/plain-error.ts';
import { spawnDetached, waitFor, type Detached } from '../../lib/processes.ts';
import { fingerprintOf } from '../fingerprint.ts';
import { lastLogLines } from '../log-format.ts';
import type { Done, Progress } from '../report.ts';
import type { ServiceSpec } from '../service-specs.ts';
import type { Folders } from '../stack.ts';
import { logFileOf, pidFileOf, runningProcess } from '../state.ts';
import { stop } from '../stop.ts';

const READY_TIMEOUT_MS = 90_000;
const LOG_LINES = 12;

/**
 * Starts the services that don't run, and those whose settings or code changed; then waits until
 * each one says that it is ready.
 *
 * @returns how many were started anew.
 */
export async function ensureServices(
  folders: Folders,
  specs: readonly ServiceSpec[],
  progress: Progress,
): Promise<Done<{ started: number }>> {
  const starting = new Map<ServiceSpec, Detached>();
  for (const spec of specs) {
    if (await isCurrent(folders, spec, progress)) continue;
    progress(`starting ${spec.name}`);
    starting.set(spec, await start(folders, spec));
  }
  const waiting = new Set(starting.keys());
  const tell = (): void => {
    progress(`waiting for ${[...waiting].map(({ name }) => name).join(', ')}`);
  };
  if (waiting.size > 0) tell();
  const giveUp = new AbortController();
  try {
    await Promise.all(
      [...starting].map(async ([spec, child]) => {
        await waitUntilReady(folders, spec, child, giveUp.signal);
        waiting.delete(spec);
        if (waiting.size > 0) tell();
      }),
    );
  } finally {
    // One that failed ends the wait for the others.
    giveUp.abort();
  }
  return { did: summary(starting.size, specs.length), value: { started: starting.size } };
}

function summary(started: number, all: number): string {
  if (started === 0) return `all ${String(all)} were running`;
  if (started === all) return `all ${String(all)} started and ready`;
  return `${String(started)} started, ${String(all - started)} were running`;
}

/** True when it runs as it should; what runs otherwise is stopped. */
async function isCurrent(
  folders: Folders,
  spec: ServiceSpec,
  progress: Progress,
): Promise<boolean> {
  const running = await runningProcess(folders, spec.name);
  if (running === undefined) return false;
  const changed = readIfExists(fingerprintFile(folders, spec)) !== fingerprintOf(folders, spec);
  if (!changed && (await isReady(spec, 5_000))) return true;
  progress(
    `stopping ${spec.name}: ${changed ? 'its code or settings changed' : 'it is not ready'}`,
  );
  await stop(running);
  return false;
}

async function start(folders: Folders, spec: ServiceSpec): Promise<Detached> {
  const child = await spawnDetached(
    process.execPath,
    [join(folders.root, spec.entry), ...spec.args],
    { cwd: folders.root, env: baseEnv(spec.settings), logFile: logFileOf(folders, spec.name) },
  );
  await writePidFile(pidFileOf(folders, spec.name), child.pid, [spec.port]);
  writeWhole(fingerprintFile(folders, spec), fingerprintOf(folders, spec));
  return child;
}

function fingerprintFile(folders: Folders, spec: ServiceSpec): string {
  return join(folders.run, `${spec.name}.fingerprint`);
}

async function waitUntilReady(
  folders: Folders,
  spec: ServiceSpec,
  child: Detached,
  giveUp: AbortSignal,
): Promise<void> {
  const pidFile = pidFileOf(folders, spec.name);
  const isAlive = async (): Promise<boolean> => (await livingProcess(pidFile))?.pid === child.pid;
  const settled = await waitFor(
    async () => giveUp.aborted || !(await isAlive()) || (await isReady(spec, 2_000)),
    READY_TIMEOUT_MS,
  );
  if (giveUp.aborted || (settled && (await isAlive()))) return;
  const what = settled
    ? `${spec.name} ended right after its start (${child.ended() ?? 'no exit code seen'}).`
    : `${spec.name} runs, but was not ready after ${String(READY_TIMEOUT_MS / 1000)} s${await reason(spec)}.`;
  const logFile = logFileOf(folders, spec.name);
  throw new PlainError(`${what} The end of its log:`, [
    ...lastLogLines(logFile, LOG_LINES),
    `The whole log: ${logFile}`,
    'make up goes on from here once the cause is gone.',
  ]);
}

async function isReady(spec: ServiceSpec, timeoutMs: number): Promise<boolean> {
  const response = await readiness(spec, timeoutMs);
  await response?.body?.cancel();
  return response?.ok === true;
}

/** What its answer says, where it says anything. */
async function reason(spec: ServiceSpec): Promise<string> {
  const response = await readiness(spec, 2_000);
  if (response === undefined) return ' (it does not answer)';
  const body = (await response.text().catch(() => '')).slice(0, 400).trim();
  return body === '' ? '' : ` (${body})`;
}

async function readiness(spec: ServiceSpec, timeoutMs: number): Promise<Response | undefined> {
  try {
    return await fetch(spec.readyUrl, {
      signal: AbortSignal.timeout(timeoutMs),
    });
  } catch {
    return undefined;
  }
}

import { spawn } from 'node:child_process';
import { mkdtempSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { endRegistered, useRegistry } from '../backends/process-registry.ts';

const DISMISSAL = 'dismissed';
/** A worker that outlives its run for a moment may still be starting something. */
const LATE_STARTS_MS = 2_000;

export interface Reaper {
  /**
   * At an orderly end: ends what tests have left behind, which is what happens when one is aborted
   * or forgets, and lets the reaper go. Says how many processes those were.
   */
  dismiss(): Promise<number>;
}

/**
 * Guards a run against Ctrl-C and crashes, which skip every `finally`: a process of its own waits
 * for the end of its standard input, which the kernel brings about when we die, however we die.
 * Then it ends every backend that was started since, wherever its files are and whether or not
 * they are still there, and removes the directory.
 */
export function startReaper(runDir: string): Reaper {
  const registry = mkdtempSync(join(tmpdir(), 'arrakis-processes-'));
  useRegistry(registry);
  const child = spawn(process.execPath, [fileURLToPath(import.meta.url), runDir, registry], {
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore'],
    cwd: '/',
    env: {},
  });
  child.stdin.on('error', () => undefined);
  child.unref();
  // The pipe alone must not keep us alive. Its type doesn't say that it is a socket.
  if (child.stdin instanceof Socket) child.stdin.unref();
  return {
    dismiss: async () => {
      const ended = await endRegistered(registry);
      await rm(registry, { recursive: true, force: true });
      child.stdin.end(DISMISSAL);
      return ended;
    },
  };
}

/** The reaper's own process. */
async function reap(runDir: string, registry: string): Promise<void> {
  let input = '';
  for await (const chunk of process.stdin) input += String(chunk);
  if (input === DISMISSAL) return;
  do {
    await endRegistered(registry);
    await pause(LATE_STARTS_MS);
  } while ((await endRegistered(registry)) > 0);
  await rm(runDir, { recursive: true, force: true });
  await rm(registry, { recursive: true, force: true });
}

if (import.meta.main) {
  const [runDir, registry] = process.argv.slice(2);
  if (runDir !== undefined && registry !== undefined) await reap(runDir, registry);
}

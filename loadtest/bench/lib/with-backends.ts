import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  removeClusterFiles,
  startOwnBackends,
  startReaper,
  type OwnBackends,
} from '@arrakis/testkit';

/**
 * Starts PostgreSQL with fsync, Redis and NATS for the call, and takes everything away after it,
 * also what the call has left and also after Ctrl-C.
 */
export async function withBackends<T>(use: (backends: OwnBackends) => Promise<T>): Promise<T> {
  const runDir = await mkdtemp(join(tmpdir(), 'arrakis-bench-'));
  const reaper = startReaper(runDir);
  const stops: (() => Promise<unknown>)[] = [];
  try {
    const backends = await startOwnBackends({
      runDir,
      durable: true,
      onStarted: (server) => stops.unshift(() => server.stop()),
    });
    stops.push(() => removeClusterFiles(backends.dirs.postgres));
    return await use(backends);
  } finally {
    for (const stop of stops) await stop();
    await reaper.dismiss();
    await rm(runDir, { recursive: true, force: true });
  }
}

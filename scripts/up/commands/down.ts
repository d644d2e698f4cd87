import { rmSync } from 'node:fs';
import { signalProcess, waitForExit } from '@arrakis/testkit';
import type { Done, Progress, Report } from '../report.ts';
import { makeFolders, PROCESS_NAMES, type Folders, type ProcessName } from '../stack.ts';
import { pidFileOf, runningProcess, withLock, type RunningProcess } from '../state.ts';

/** Services end the answers under way first; a few seconds are enough for those on one machine. */
const SERVICE_GRACE_MS = 15_000;
const BACKEND_GRACE_MS = 15_000;

const SERVICES: readonly ProcessName[] = ['freeside-api', 'freeside-worker', 'finn'];

/** Stops what `make up` started: services drain first, then the backends under them. */
export async function down(folders: Folders, report: Report): Promise<void> {
  makeFolders(folders);
  await withLock(folders, () => stopAll(folders, report));
}

/** As {@link down}, for whoever holds the lock. */
export async function stopAll(folders: Folders, report: Report): Promise<void> {
  let stopped = 0;
  for (const name of stopOrder()) {
    const running = await runningProcess(folders, name);
    if (running === undefined) continue;
    await report.step(name, (progress) => stop(folders, name, running, progress));
    stopped += 1;
  }
  report.print(
    stopped === 0 ? 'Nothing was running.' : 'Stopped. The data is kept: make up goes on.',
  );
}

/** Intake first, then what it leads to, then what they all stand on. */
function stopOrder(): ProcessName[] {
  const backends = PROCESS_NAMES.filter((name) => !SERVICES.includes(name));
  return [...SERVICES, ...backends.reverse()];
}

async function stop(
  folders: Folders,
  name: ProcessName,
  running: RunningProcess,
  progress: Progress,
): Promise<Done<void>> {
  const isService = SERVICES.includes(name);
  const graceMs = isService ? SERVICE_GRACE_MS : BACKEND_GRACE_MS;
  progress(isService ? 'letting the answers under way end' : 'shutting down');
  // All three backends end in good order on an interrupt, even with clients connected.
  await signalProcess(running, isService ? 'SIGTERM' : 'SIGINT');
  let did = 'stopped';
  if (!(await waitForExit(running, graceMs))) {
    await signalProcess(running, 'SIGKILL');
    await waitForExit(running, 5_000);
    did = `killed: it was still busy after ${String(graceMs / 1000)} s; the next start recovers what it left`;
  }
  rmSync(pidFileOf(folders, name), { force: true });
  return { did, value: undefined };
}

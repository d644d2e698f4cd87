import { signalProcess, waitForExit } from '@arrakis/testkit';
import type { RunningProcess } from './state.ts';

const STOP_GRACE_MS = 10_000;

/** Ends a process in good order, or by force. */
export async function stop(running: RunningProcess): Promise<void> {
  await signalProcess(running, 'SIGTERM');
  if (await waitForExit(running, STOP_GRACE_MS)) return;
  await signalProcess(running, 'SIGKILL');
  await waitForExit(running, STOP_GRACE_MS);
}

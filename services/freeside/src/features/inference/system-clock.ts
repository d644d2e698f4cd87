import { setTimeout as pause } from 'node:timers/promises';
import type { CallClock } from './finn-caller.ts';

export const systemClock: CallClock = {
  nowMs: () => performance.now(),
  random: () => Math.random(),
  async sleep(ms, signal) {
    // A wait that is cut short is over, not failed.
    await pause(ms, undefined, { signal }).catch(() => undefined);
  },
};

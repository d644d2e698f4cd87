import { get } from 'node:http';
import { setTimeout as pause } from 'node:timers/promises';
import type { SystemService } from '../../support/system.ts';
import type { FaultRecord } from '../types.ts';

export interface StarvationWatch {
  /** Times in which a process did not get to run although nobody had stopped it. */
  stop(): Promise<readonly FaultRecord[]>;
}

const PROBE_EVERY_MS = 200;
/** Half of the shortest patience that our services have with one another (finn's with Redis, 1 s). */
const STARVED_MS = 500;

/**
 * Asks every process for a sign of life that costs nothing. On a machine that others use too, one
 * that takes long got no processor, or this process didn't, through which every wire leads: then
 * timeouts pass that no fault of ours brought about. It is noted as a fault of the machine.
 */
export function watchStarvation(members: readonly SystemService[]): StarvationWatch {
  const records: FaultRecord[] = [];
  let isStopped = false;
  const loops = members.map(async ({ name, adminUrl }) => {
    while (!isStopped) {
      const startedAtMs = Date.now();
      const answered = await isAlive(`${adminUrl}/livez`);
      const healedAtMs = Date.now();
      const tookMs = healedAtMs - startedAtMs;
      if (answered && tookMs > STARVED_MS) {
        const detail = `a sign of life took ${tookMs} ms`;
        records.push({ kind: 'machine-starved', target: name, detail, startedAtMs, healedAtMs });
      }
      await pause(PROBE_EVERY_MS);
    }
  });
  return {
    async stop() {
      isStopped = true;
      await Promise.all(loops);
      return records;
    },
  };
}

/** Without those of processes that a fault of ours had hold of at that time. */
export function withoutVictims(
  starved: readonly FaultRecord[],
  faults: readonly FaultRecord[],
): FaultRecord[] {
  return starved.filter(
    (one) =>
      !faults.some(
        ({ target, startedAtMs, healedAtMs }) =>
          target === one.target && startedAtMs <= one.healedAtMs && healedAtMs >= one.startedAtMs,
      ),
  );
}

function isAlive(url: string): Promise<boolean> {
  return new Promise((resolve) => {
    const request = get(url, { agent: false, timeout: 10_000 }, (response) => {
      response.resume();
      resolve(true);
    });
    request.on('timeout', () => request.destroy());
    request.on('error', () => resolve(false));
  });
}

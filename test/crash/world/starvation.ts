import { setTimeout as pause } from 'node:timers/promises';
import type { FaultRecord } from '../types.ts';

/** Something that can be asked for a sign of life that costs nothing. */
export interface Watched {
  /** As faults name it. */
  readonly name: string;
  /** Rejects when there is nobody who could answer. */
  ask(): Promise<unknown>;
  close?(): Promise<void>;
}

export interface StarvationWatch {
  /** Times in which a process did not get to run although nobody had stopped it. */
  stop(): Promise<readonly FaultRecord[]>;
}

const PROBE_EVERY_MS = 200;
/** Half of the shortest patience that our services have with one another (finn's with Redis, 1 s). */
const STARVED_MS = 500;

/**
 * Asks every process for a sign of life. On a machine that others use too, one
 * that takes long got no processor, or this process didn't, through which every wire leads: then
 * timeouts pass that no fault of ours brought about. It is noted as a fault of the machine.
 */
export function watchStarvation(watched: readonly Watched[]): StarvationWatch {
  const records: FaultRecord[] = [];
  let isStopped = false;
  const loops = watched.map(async (one) => {
    const { name } = one;
    while (!isStopped) {
      const startedAtMs = Date.now();
      const answered = await one.ask().then(
        () => true,
        () => false,
      );
      const healedAtMs = Date.now();
      const tookMs = healedAtMs - startedAtMs;
      if (answered && tookMs > STARVED_MS) {
        const detail = `a sign of life took ${tookMs} ms`;
        records.push({ kind: 'machine-starved', target: name, detail, startedAtMs, healedAtMs });
      }
      await pause(PROBE_EVERY_MS);
    }
    await one.close?.();
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

import { setTimeout as pause } from 'node:timers/promises';
import type { FaultRecord } from '../types.ts';
import type { PlannedFault } from './plan.ts';
import { strike, type Victims } from './strike.ts';

export interface FaultRun {
  readonly records: readonly FaultRecord[];
  /** Faults that could not be carried out or undone: the test itself is broken then. */
  readonly failures: readonly string[];
}

/**
 * Carries out the schedule, counted from now. Faults of one victim come one after the other, also
 * when undoing one takes longer than planned. Resolves when all are undone.
 */
export async function runFaults(
  plan: readonly PlannedFault[],
  victims: Victims,
  onProgress: (line: string) => void,
): Promise<FaultRun> {
  const beganAtMs = performance.now();
  const records: FaultRecord[] = [];
  const failures: string[] = [];
  const turns = new Map<string, Promise<unknown>>();

  const carryOut = async (fault: PlannedFault): Promise<void> => {
    const startedAtMs = Date.now();
    onProgress(`${fault.kind} ${fault.target}${lasting(fault)}`);
    try {
      const detail = await strike(fault, victims);
      const { kind, target } = fault;
      records.push({ kind, target, detail, startedAtMs, healedAtMs: Date.now() });
    } catch (error) {
      failures.push(`${fault.kind} ${fault.target}: ${String(error)}`);
    }
  };
  await Promise.all(
    plan.map(async (fault) => {
      await pause(Math.max(0, fault.atMs - (performance.now() - beganAtMs)));
      const victim = victimOf(fault);
      const turn = (turns.get(victim) ?? Promise.resolve()).then(() => carryOut(fault));
      turns.set(victim, turn);
      await turn;
    }),
  );
  records.sort((one, other) => one.startedAtMs - other.startedAtMs);
  return { records, failures };
}

function victimOf(fault: PlannedFault): string {
  return fault.kind === 'postgres-terminate' ? 'postgres' : fault.target;
}

function lasting(fault: PlannedFault): string {
  return fault.lastsMs === 0 ? '' : ` for ${(fault.lastsMs / 1000).toFixed(1)} s`;
}

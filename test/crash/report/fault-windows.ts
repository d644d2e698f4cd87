import type { CallRecord, FaultKind, FaultRecord } from '../types.ts';

/**
 * Which faults may show in which calls, and for how long: what the spec promises once a fault is
 * undone. A kind that stands nowhere here (NATS, the worker, usage events, an emptied Redis, the
 * clock of open holds) excuses no failed call at all.
 */
export const RECOVERY_MS = {
  /**
   * "Service back within 10 s of Postgres"; and of Redis, without which no replica of finn is ready
   * either: all of them have to be found ready again before anybody is sent to one.
   */
  everyReplica: 10_000,
  /** "Within 2 s of one replica of two"; also for its wires. */
  replica: 2_000,
} as const;

export interface FaultWindow {
  readonly fault: FaultRecord;
  readonly fromMs: number;
  readonly untilMs: number;
}

/** When a fault is done with what clients may see of it. */
export function windowOf(fault: FaultRecord): FaultWindow {
  const allowanceMs = touchesEveryReplica(fault) ? RECOVERY_MS.everyReplica : RECOVERY_MS.replica;
  return { fault, fromMs: fault.startedAtMs, untilMs: fault.healedAtMs + allowanceMs };
}

/** The windows that this call ran into, from its first byte to its last. */
export function windowsOf(call: CallRecord, faults: readonly FaultRecord[]): FaultWindow[] {
  return faults
    .filter((fault) => mayShow(fault, call.replica))
    .map(windowOf)
    .filter(({ fromMs, untilMs }) => call.startedAtMs <= untilMs && call.endedAtMs >= fromMs);
}

const INVISIBLE: readonly FaultKind[] = [
  'redis-flush',
  'nats-restart',
  'nats-wipe',
  'events-doubled',
  'events-late',
  'events-reordered',
  'clock-step',
];

/** Whether clients of that api replica (0 for `api-1`) may notice the fault. */
export function mayShow(fault: FaultRecord, replica: number): boolean {
  if (INVISIBLE.includes(fault.kind)) return false;
  const { target } = fault;
  if (target.startsWith('worker-') || target.endsWith('->nats')) return false;
  const api = /api-(\d+)/.exec(target)?.[1];
  return api === undefined || Number(api) === replica + 1;
}

function touchesEveryReplica({ kind, target }: FaultRecord): boolean {
  if (kind === 'machine-starved') return target === 'postgres' || target === 'redis';
  return kind.startsWith('postgres-') || kind === 'redis-restart' || target.endsWith('->postgres');
}

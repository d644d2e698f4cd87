import type { CallRecord, Evidence, FaultRecord, Verdict } from '../types.ts';
import { RECOVERY_MS, mayShow, windowOf } from './fault-windows.ts';

/** How soon service was back. */
export function recoveryVerdicts(evidence: Evidence): Verdict[] {
  return [afterPostgres(evidence), afterReplica(evidence)];
}

interface Measured {
  readonly fault: FaultRecord;
  /** Until the next 200, undefined when none came. */
  readonly ms: number | undefined;
  /** Whether another fault was in the way, or nobody asked: a late 200 says nothing then. */
  readonly disturbed: boolean;
}

/** From PostgreSQL being back to the first 200, on each api. */
function afterPostgres({ calls, faults }: Evidence): Verdict {
  const measured = faults
    .filter(({ kind }) => kind === 'postgres-crash')
    .flatMap((fault) =>
      [0, 1].map((replica): Measured => {
        const own = calls.filter((call) => call.replica === replica);
        return {
          fault,
          ms: next200(own, fault.healedAtMs),
          disturbed: isDisturbed(fault, { faults, replica, atMs: fault.healedAtMs }),
        };
      }),
    );
  return verdict(
    'the first 200 comes within 10 s of PostgreSQL',
    measured,
    RECOVERY_MS.everyReplica,
  );
}

/** From the loss of one replica of two to the next 200 over the other one. */
function afterReplica({ calls, faults }: Evidence): Verdict {
  const measured = faults
    .filter(({ kind, target }) => isLoss(kind) && /^(?:api|finn)-/.test(target))
    .flatMap((fault) =>
      [0, 1]
        .filter((replica) => fault.target !== apiName(replica))
        .map((replica): Measured => {
          const survivor = calls.filter((call) => call.replica === replica);
          return {
            fault,
            ms: next200(survivor, fault.startedAtMs),
            disturbed:
              isDisturbed(fault, { faults, replica, atMs: fault.startedAtMs }) ||
              !isAsked(survivor, fault.startedAtMs),
          };
        }),
    );
  const invariant = 'the next 200 comes within 2 s of the loss of one replica of two';
  return verdict(invariant, measured, RECOVERY_MS.replica);
}

function apiName(replica: number): string {
  return `api-${replica + 1}`;
}

function isLoss(kind: string): boolean {
  return kind === 'kill' || kind === 'freeze';
}

/** Only calls that began afterwards: one that was under way may have had its answer already. */
function next200(calls: readonly CallRecord[], sinceMs: number): number | undefined {
  const moments = calls.flatMap(({ status, startedAtMs, headersAtMs }) =>
    status === 200 && startedAtMs >= sinceMs && headersAtMs !== undefined ? [headersAtMs] : [],
  );
  return moments.length === 0 ? undefined : Math.min(...moments) - sinceMs;
}

/** Every client may be waiting at the other, frozen replica: then nobody is there to be answered. */
function isAsked(calls: readonly CallRecord[], sinceMs: number): boolean {
  return calls.some(({ startedAtMs }) => {
    return startedAtMs >= sinceMs && startedAtMs <= sinceMs + RECOVERY_MS.replica;
  });
}

interface Moment {
  readonly faults: readonly FaultRecord[];
  readonly replica: number;
  readonly atMs: number;
}

/** Whether another fault was in the way of that replica within the time that the promise has. */
function isDisturbed(fault: FaultRecord, { faults, replica, atMs }: Moment): boolean {
  const limitMs = windowOf(fault).untilMs - fault.healedAtMs;
  return faults.some((other) => {
    if (other === fault || !mayShow(other, replica)) return false;
    const { fromMs, untilMs } = windowOf(other);
    return fromMs <= atMs + limitMs && untilMs >= atMs;
  });
}

function verdict(invariant: string, measured: readonly Measured[], limitMs: number): Verdict {
  const inTime = measured.filter(({ ms }) => ms !== undefined && ms <= limitMs);
  const rest = measured.filter((one) => !inTime.includes(one));
  const late = rest.filter(({ disturbed }) => !disturbed);
  const left = rest.length - late.length;
  const shown = [...inTime, ...late].map(
    ({ fault, ms }) => `${fault.target} ${ms === undefined ? 'never' : `${Math.round(ms)} ms`}`,
  );
  const detail = shown.length === 0 ? 'no such fault stood alone' : shown.join(', ');
  return {
    invariant,
    ok: late.length === 0,
    detail:
      left === 0
        ? detail
        : `${detail}; ${left} not counted, other faults were in the way or nobody asked`,
  };
}

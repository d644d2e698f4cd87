import type { Finding, Gate } from './gate.domain.ts';

/** A gate that was run, and when. */
export interface Ran {
  readonly gate: Gate;
  readonly finding: Finding;
  readonly startedAt: Date;
  readonly durationMs: number;
}

export interface Clock {
  /** For the report. */
  readonly now: () => Date;
  /** Milliseconds of a clock that never goes back. */
  readonly monotonicMs: () => number;
}

/**
 * Runs all gates at once, those of one lane in turn. A gate's deadline counts from its own start.
 * Never rejects: a gate that throws is inconclusive.
 *
 * @returns in the order of `gates`
 */
export async function runGates(gates: readonly Gate[], clock: Clock): Promise<readonly Ran[]> {
  const lanes = new Map<string, Promise<unknown>>();
  return Promise.all(
    gates.map((gate) => {
      const start = (): Promise<Ran> => runGate(gate, clock);
      if (gate.lane === undefined) return start();
      const ran = (lanes.get(gate.lane) ?? Promise.resolve()).then(start);
      lanes.set(gate.lane, ran);
      return ran;
    }),
  );
}

async function runGate(gate: Gate, clock: Clock): Promise<Ran> {
  const startedAt = clock.now();
  const startedMs = clock.monotonicMs();
  const finding = await findingOf(gate);
  return { gate, finding, startedAt, durationMs: Math.round(clock.monotonicMs() - startedMs) };
}

async function findingOf(gate: Gate): Promise<Finding> {
  const controller = new AbortController();
  let timer: NodeJS.Timeout | undefined;
  const deadline = new Promise<Finding>((resolve) => {
    timer = setTimeout(() => resolve(late(gate)), gate.deadlineMs);
  });
  try {
    return await Promise.race([guarded(gate, controller.signal), deadline]);
  } finally {
    clearTimeout(timer);
    // What the gate still has under way must not outlive it.
    controller.abort();
  }
}

async function guarded(gate: Gate, signal: AbortSignal): Promise<Finding> {
  try {
    return await gate.run(signal);
  } catch (error) {
    const reason = error instanceof Error ? error.message : 'the gate broke off';
    return { outcome: 'inconclusive', seen: 'nothing: it broke off', reason, evidence: {} };
  }
}

function late(gate: Gate): Finding {
  const reason = `no end within ${gate.deadlineMs / 1000} s`;
  return {
    outcome: gate.whenLate,
    seen: 'nothing in time',
    reason,
    evidence: { deadlineMs: gate.deadlineMs },
  };
}

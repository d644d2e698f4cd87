import { conclude, inconclusive, type Gate, type JsonObject } from '../gate.domain.ts';
import type { Cluster } from '../probes/cluster.ts';
import type { DryRun, Workload } from '../probes/revisions.domain.ts';

export interface RollbackOptions {
  /** `undefined` outside a cluster. */
  readonly cluster: (() => Promise<Cluster>) | undefined;
  readonly deadlineMs: number;
}

interface Rehearsal {
  readonly workload: Workload;
  readonly dryRun: DryRun;
}

/**
 * The way back, rehearsed without going it: the API server of today must accept each workload's
 * previous revision. What an upgrade left as it was has none, and needs none.
 */
export function rollbackGate({ cluster, deadlineMs }: RollbackOptions): Gate {
  return {
    name: 'rollback',
    asks: 'is the previous revision of each workload kept, and would the cluster accept it',
    deadlineMs,
    whenLate: 'inconclusive',
    async run() {
      if (cluster === undefined) return inconclusive('no cluster is named (GONOGO_RELEASE)');
      const here = await cluster();
      const workloads = await here.workloads();
      if (workloads.length === 0) return inconclusive(`no workload in ${here.namespace}`);
      const upgraded = workloads.filter(({ previous }) => previous !== undefined);
      const evidence = { workloads: workloads.map(viewOf) };
      if (upgraded.length === 0) {
        return inconclusive('never upgraded: there is no previous revision', evidence);
      }
      const rehearsals = await Promise.all(
        upgraded.map(async (workload) => ({
          workload,
          dryRun: await here.dryRunPrevious(workload),
        })),
      );
      return conclude(
        { wrong: reasonsOf(rehearsals, 'refused'), unclear: reasonsOf(rehearsals, 'unclear') },
        `${String(upgraded.length)} of ${String(workloads.length)} workloads would go back, the others never changed`,
        { ...evidence, dryRuns: rehearsals.map(rehearsalView) },
      );
    },
  };
}

function reasonsOf(rehearsals: readonly Rehearsal[], outcome: DryRun['outcome']): string[] {
  return rehearsals.flatMap(({ workload, dryRun }) =>
    dryRun.outcome === outcome && dryRun.outcome !== 'accepted'
      ? [`${workload.kind} ${workload.name}: ${dryRun.reason}`]
      : [],
  );
}

function viewOf({ kind, name, previous }: Workload): JsonObject {
  return { kind, name, previousRevision: previous?.number ?? null };
}

function rehearsalView({ workload, dryRun }: Rehearsal): JsonObject {
  return { name: workload.name, ...dryRun };
}

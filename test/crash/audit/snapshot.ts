import { setTimeout as pause } from 'node:timers/promises';
import type { Pool, PoolClient } from 'pg';
import type { Verdict, World } from '../types.ts';
import { inSnapshot, isOverdrawn, type DriftRow } from './books.ts';
import { Findings } from './findings.ts';

export const DURING_LOAD = 'at every moment under load the books balance, from one snapshot';

const EVERY_MS = 500;

interface AccountView {
  readonly community_id: string;
  readonly kind: string;
  readonly balance_micro: bigint;
  /** Of open holds; on the row of `held`. */
  readonly open_micro: bigint;
}

/** Looks at the whole books again and again until it is stopped; not while PostgreSQL is away. */
export function startSnapshotChecks(world: World): { stop(): Promise<readonly Verdict[]> } {
  const stopping = new AbortController();
  const findings = new Findings(DURING_LOAD);
  const seen = { taken: 0, missed: 0 };
  const loop = run(world.auditDb, { findings, seen, stopping: stopping.signal });
  return {
    async stop() {
      stopping.abort();
      await loop;
      // A check that never looked must not pass for one that found nothing.
      if (seen.taken === 0) findings.violated('no snapshot could be taken');
      return [
        findings.verdict(`${seen.taken} snapshots; ${seen.missed} times the database was away`),
      ];
    },
  };
}

interface Watch {
  readonly findings: Findings;
  readonly seen: { taken: number; missed: number };
  readonly stopping: AbortSignal;
}

async function run(db: Pool, { findings, seen, stopping }: Watch): Promise<void> {
  while (!stopping.aborted) {
    try {
      await inSnapshot(db, (tx) => check(tx, findings));
      seen.taken += 1;
    } catch {
      seen.missed += 1;
    }
    await pause(EVERY_MS, undefined, { signal: stopping }).catch(() => undefined);
  }
}

async function check(tx: PoolClient, findings: Findings): Promise<void> {
  const drift = await tx.query<DriftRow>(
    `SELECT community_id, equation, drift_micro::text AS drift
     FROM freeside.conservation_full WHERE drift_micro <> 0`,
  );
  const at = new Date().toISOString().slice(11, 23);
  for (const { community_id: communityId, equation, drift: by } of drift.rows) {
    findings.violated(`${at} ${communityId}: ${equation}: off by ${by}`, { communityId });
  }
  const { rows } = await tx.query<AccountView>(
    `SELECT a.community_id, a.kind, a.balance_micro, CASE a.kind WHEN 'held' THEN COALESCE(
        (SELECT sum(b.hold_micro) FROM freeside.budget_reservations b
         WHERE b.community_id = a.community_id AND b.status IN ('reserved', 'streaming')), 0)
      ELSE 0 END::bigint AS open_micro
     FROM freeside.accounts a`,
  );
  for (const row of rows) {
    const { community_id: communityId, kind, balance_micro: balance, open_micro: open } = row;
    if (isOverdrawn(row)) {
      findings.violated(`${at} ${communityId}: ${kind} is ${balance}`, { communityId });
    }
    if (kind === 'held' && balance !== open) {
      findings.violated(`${at} ${communityId}: held ${balance}, open holds ${open}`, {
        communityId,
      });
    }
  }
}

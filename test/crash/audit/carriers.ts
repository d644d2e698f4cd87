import { SCENARIO_MARKER } from '../load/scenarios/stage.ts';
import type { Evidence, FaultRecord, ProviderRecord, Verdict, World } from '../types.ts';
import type { Settled } from './books.ts';
import { Findings } from './findings.ts';

export const REPORTED = 'what finn reported is what settled, or something that ranks no lower';
export const PARKED = 'no usage event is parked';
export const ANSWERED_ONCE = 'under one hold one answer is made';

const BELOW_A_REPORT = new Set(['reconciliation', 'journal']);

/**
 * A final count that reached the stream has to arrive in the books, whoever died in between. Only
 * a stream whose store was wiped may lose one.
 */
export function auditReports(
  world: World,
  settled: ReadonlyMap<string, Settled>,
  { faults }: Evidence,
): Verdict {
  const findings = new Findings(REPORTED);
  const wipedAtMs = Math.max(
    0,
    ...faults.filter(({ kind }) => kind === 'nats-wipe').map(({ healedAtMs }) => healedAtMs),
  );
  const reports = world.usage
    .captured()
    .filter(({ replayed, event }) => !replayed && event.finality === 'final');
  for (const { event, atMs } of reports) {
    const reservationId = event.budget_reservation_id;
    const one = settled.get(reservationId);
    const fault = faultOf(one, event.completion_tokens);
    if (fault === undefined || atMs <= wipedAtMs) continue;
    const communityId = event.community_id;
    findings.violated(`${reservationId}: ${fault}`, { communityId, reservationId });
  }
  return findings.verdict(`${reports.length} reports`);
}

function faultOf(settled: Settled | undefined, completionTokens: number): string | undefined {
  if (settled === undefined) return 'reported, but there is no hold';
  const { settled_by: settledBy, status } = settled.reservation;
  const reported = `finn reported ${completionTokens} tokens`;
  if (settledBy === null) {
    return completionTokens === 0 ? undefined : `${reported}, nothing came of it (${status})`;
  }
  return BELOW_A_REPORT.has(settledBy) ? `${reported}, settled by ${settledBy}` : undefined;
}

export async function auditParked(world: World): Promise<Verdict> {
  const findings = new Findings(PARKED);
  const parked = await world.usage.parked();
  if (parked > 0) findings.violated(`${parked} events rest in the parked stream`);
  return findings.verdict('none');
}

/**
 * A token is good for one run. While something is broken an answer may be lost between finn and its
 * caller and made anew; without a fault there is no reason to.
 */
export function auditAnsweredOnce({ provider, faults }: Evidence): Verdict {
  const findings = new Findings(ANSWERED_ONCE);
  const whole = provider.filter(({ outcome }) => outcome === 'completed');
  for (const [marker, records] of Map.groupBy(whole, (record) => record.marker)) {
    const isExcused = !marker.startsWith(SCENARIO_MARKER) && isDisturbed(records, faults);
    if (records.length < 2 || isExcused) continue;
    findings.violated(`${marker}: ${records.length} whole answers`);
  }
  return findings.verdict(`${whole.length} whole answers`);
}

function isDisturbed(records: readonly ProviderRecord[], faults: readonly FaultRecord[]): boolean {
  const fromMs = Math.min(...records.map(({ atMs }) => atMs));
  const untilMs = Math.max(...records.map(({ atMs, endedAtMs }) => endedAtMs ?? atMs));
  return faults.some(({ startedAtMs, healedAtMs }) => {
    return startedAtMs <= untilMs && healedAtMs + AFTERMATH_MS >= fromMs;
  });
}

/** What was frozen or swallowed is noticed some time after it was undone. */
const AFTERMATH_MS = 15_000;

import type { Evidence, Verdict, World } from '../types.ts';

interface Line {
  readonly atMs: number;
  readonly text: string;
}

/** Of a whole account; a single hold has far fewer. */
const MAX_LINES = 1_500;

/** Everything known about what a verdict calls broken, in the order of time. */
export async function historyOf(
  world: World,
  broken: NonNullable<Verdict['broken']>,
  evidence: Evidence,
): Promise<string[]> {
  const lines = [
    ...(await bookLines(world, broken)),
    ...callLines(evidence, broken),
    ...faultLines(evidence),
  ].sort((one, other) => one.atMs - other.atMs);
  return lines.slice(0, MAX_LINES).map(({ atMs, text }) => `${clock(atMs)}  ${text}`);
}

/** Time of day with milliseconds, UTC. */
export function clock(atMs: number): string {
  return new Date(atMs).toISOString().slice(11, 23);
}

async function bookLines(world: World, broken: NonNullable<Verdict['broken']>): Promise<Line[]> {
  const { rows } = await world.auditDb.query<{ at: Date; what: string; row: object }>(
    `SELECT created_at AS at, 'hold' AS what, to_jsonb(b) AS row
       FROM freeside.budget_reservations b WHERE community_id = $1 AND ($2::uuid IS NULL OR id = $2)
     UNION ALL
     SELECT e.created_at, 'entry ' || e.kind || ' ' || f.kind || ' -> ' || t.kind,
            to_jsonb(e) - 'from_account_id' - 'to_account_id' - 'community_id'
       FROM freeside.ledger_entries e
       JOIN freeside.accounts f ON f.id = e.from_account_id
       JOIN freeside.accounts t ON t.id = e.to_account_id
      WHERE e.community_id = $1 AND ($2::uuid IS NULL OR e.reservation_id = $2)
     UNION ALL
     SELECT created_at, 'spend event', to_jsonb(s) - 'community_id' FROM freeside.spend_events s
      WHERE community_id = $1 AND ($2::uuid IS NULL OR budget_reservation_id = $2)
     UNION ALL
     SELECT created_at, 'correction', to_jsonb(c) - 'community_id' FROM freeside.spend_corrections c
      WHERE community_id = $1 AND ($2::uuid IS NULL OR budget_reservation_id = $2)
     UNION ALL
     SELECT e.created_at, 'payment ' || e.kind, to_jsonb(e) FROM freeside.payment_events e
       JOIN freeside.crypto_payments p ON p.id = e.crypto_payment_id
      WHERE p.community_id = $1 AND $2::uuid IS NULL`,
    [broken.communityId, broken.reservationId ?? null],
  );
  const books = rows.map(({ at, what, row }) => ({
    atMs: at.getTime(),
    text: `books     ${what} ${JSON.stringify(row)}`,
  }));
  return [...books, ...usageLines(world, broken)];
}

function usageLines(world: World, broken: NonNullable<Verdict['broken']>): Line[] {
  return world.usage
    .captured()
    .filter(
      ({ event }) =>
        event.community_id === broken.communityId &&
        (broken.reservationId ?? event.budget_reservation_id) === event.budget_reservation_id,
    )
    .map(({ atMs, event, replayed }) => ({
      atMs,
      text: `nats      ${replayed ? 'copy of ' : ''}usage event ${JSON.stringify(event)}`,
    }));
}

function callLines(evidence: Evidence, broken: NonNullable<Verdict['broken']>): Line[] {
  const calls = evidence.calls.filter(
    ({ community, requestId }) =>
      community === broken.communityId &&
      (broken.reservationId === undefined || requestId === broken.reservationId),
  );
  const markers = new Set(calls.map(({ marker }) => marker));
  const provider = evidence.provider.filter(({ marker }) => markers.has(marker));
  return [
    ...calls.map((call) => ({ atMs: call.startedAtMs, text: `client    ${JSON.stringify(call)}` })),
    ...provider.map((one) => ({ atMs: one.atMs, text: `provider  ${JSON.stringify(one)}` })),
  ];
}

function faultLines(evidence: Evidence): Line[] {
  return evidence.faults.flatMap(({ kind, target, detail, startedAtMs, healedAtMs }) => [
    { atMs: startedAtMs, text: `fault     ${kind} ${target}: ${detail}` },
    ...(healedAtMs - startedAtMs > 50
      ? [{ atMs: healedAtMs, text: `fault     ${kind} ${target} undone` }]
      : []),
  ]);
}

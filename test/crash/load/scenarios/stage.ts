import { waitFor } from '@arrakis/testkit';
import { Client } from 'pg';
import type { Community, ProviderRecord, World } from '../../types.ts';
import { performCall, type CallSpec, type ObservedCall } from '../call.ts';

/** What a scenario does, it does while nothing is broken. */
export const SCENARIO_MARKER = 's-';

/** What scenarios need of a world. */
export interface Stage {
  readonly world: World;
  /** Superuser: sees what others wait for, and may end their sessions. */
  readonly admin: Client;
  /** Everything that clients of scenarios were told. */
  readonly calls: ObservedCall[];
}

const SETTLED_WITHIN_MS = 15_000;
const SEEN_WITHIN_MS = 10_000;
/** A breaker that the faults have opened stays open for half a minute. */
const SERVED_WITHIN_MS = 45_000;

export async function withStage(
  world: World,
  play: (stage: Stage) => Promise<void>,
): Promise<readonly ObservedCall[]> {
  const admin = new Client({ connectionString: world.backends.adminUrl });
  admin.on('error', () => undefined);
  await admin.connect();
  try {
    const calls: ObservedCall[] = [];
    await play({ world, admin, calls });
    return calls;
  } finally {
    await admin.end();
  }
}

/** A community that can pay; each scenario takes another one where there are enough. */
export function richCommunity({ world }: Stage, turn: number): Community {
  const rich = world.communities.filter(({ poor }) => !poor);
  const chosen = rich[turn % rich.length];
  if (chosen === undefined) throw new Error('a scenario needs a community that can pay');
  return chosen;
}

/** Makes a call and notes what came of it. */
export async function call(
  stage: Stage,
  community: Community,
  spec: Pick<CallSpec, 'marker' | 'plan' | 'stream'> & Partial<CallSpec>,
): Promise<ObservedCall> {
  const replica = spec.replica ?? 0;
  const observed = await performCall({
    community: community.id,
    apiKey: community.apiKeys[0],
    replica,
    baseUrl: stage.world.apis[replica]!.url,
    route: 'inference',
    agent: community.agents[0].slug,
    maxTokens: 600,
    includeUsage: true,
    ...spec,
    marker: SCENARIO_MARKER + spec.marker,
  });
  stage.calls.push(observed);
  return observed;
}

/** Until the agent answers at that replica; what is refused meanwhile is not noted. */
export async function untilServed(
  stage: Stage,
  community: Community,
  replica: number,
): Promise<void> {
  let attempt = 0;
  await waitFor(
    async () => {
      attempt += 1;
      const marker = `warm-${community.slug}-${String(replica)}-${String(attempt)}`;
      const muted = { ...stage, calls: [] };
      const observed = await call(muted, community, {
        marker,
        plan: 'brisk',
        stream: false,
        replica,
      });
      return observed.outcome === 'completed';
    },
    { timeoutMs: SERVED_WITHIN_MS, intervalMs: 500, what: `an answer for ${community.slug}` },
  );
}

/** The provider is at work for that call. */
export function untilAsked(stage: Stage, marker: string): Promise<ProviderRecord> {
  return waitFor(
    () => stage.world.provider.records().find((one) => one.marker === SCENARIO_MARKER + marker),
    { timeoutMs: SEEN_WITHIN_MS, what: `the provider asked for ${marker}` },
  );
}

/** The community's one hold that is open now. */
export function untilHeld(stage: Stage, community: Community, status: string): Promise<string> {
  return waitFor(
    async () => {
      const { rows } = await stage.world.auditDb.query<{ id: string }>(
        `SELECT id FROM freeside.budget_reservations
         WHERE community_id = $1 AND status = $2 AND created_at > now() - interval '1 minute'
         ORDER BY created_at DESC LIMIT 1`,
        [community.id, status],
      );
      return rows[0]?.id;
    },
    { timeoutMs: SEEN_WITHIN_MS, what: `a hold that is ${status}` },
  );
}

/** Whether it got there in time; the audit says what it means when it didn't. */
export async function settlesInTime(stage: Stage, reservationId: string): Promise<boolean> {
  const isOver = async (): Promise<boolean> => {
    const { rows } = await stage.world.auditDb.query<{ settled_by: string | null }>(
      'SELECT settled_by FROM freeside.budget_reservations WHERE id = $1',
      [reservationId],
    );
    return rows[0]?.settled_by !== null;
  };
  return waitFor(isOver, { timeoutMs: SETTLED_WITHIN_MS, intervalMs: 50 }).catch(() => false);
}

/** As five minutes and one later. */
export async function letSixMinutesPass(stage: Stage, reservationId: string): Promise<void> {
  await stage.world.auditDb.query(
    `UPDATE freeside.budget_reservations SET created_at = created_at - interval '6 minutes',
       progress_at = progress_at - interval '6 minutes' WHERE id = $1`,
    [reservationId],
  );
}

/** Nobody can write the community's books until the returned function is called. */
export async function lockBooks(stage: Stage, community: Community): Promise<() => Promise<void>> {
  const client = await stage.world.auditDb.connect();
  await client.query('BEGIN');
  await client.query(
    `SELECT 1 FROM freeside.accounts WHERE community_id = $1 AND kind = 'available' FOR UPDATE`,
    [community.id],
  );
  return async () => {
    await client.query('ROLLBACK');
    client.release();
  };
}

/** Sessions of that application that wait for a lock. */
export async function waitingForLock(stage: Stage, application: string): Promise<number[]> {
  const { rows } = await stage.admin.query<{ pid: number }>(
    `SELECT pid FROM pg_stat_activity
     WHERE application_name = $1 AND wait_event_type = 'Lock' AND state = 'active'`,
    [application],
  );
  return rows.map(({ pid }) => pid);
}

export async function untilWaitingForLock(stage: Stage, application: string): Promise<number[]> {
  return waitFor(
    async () => {
      const pids = await waitingForLock(stage, application);
      return pids.length > 0 && pids;
    },
    { timeoutMs: SEEN_WITHIN_MS, what: `${application} waiting for a lock` },
  );
}

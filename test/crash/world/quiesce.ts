import { setTimeout as pause } from 'node:timers/promises';
import { waitFor } from '@arrakis/testkit';
import type { World } from '../types.ts';
import { stepClock } from './clock-step.ts';

/**
 * Without a hold ended for so long, the rest waits for a deadline: what the apis try again comes
 * more often than this.
 */
const STANDSTILL_MS = { production: 12_000, short: 5_000 } as const;
const JOBS_WITHIN_MS = 60_000;
const EVENTS_WITHIN_MS = 60_000;
const BEYOND_BOTH_DEADLINES_MINUTES = 6;

export interface Quiescence {
  /** Holds that only a deadline ended: nobody could report on them. */
  readonly agedHolds: number;
  readonly tookMs: number;
}

/**
 * Waits until every usage event is consumed and every hold terminal. What only the deadlines of
 * two and five minutes end is aged by six, and the worker, whose jobs run at once when it starts,
 * is restarted: the same statements run as five minutes later.
 *
 * @throws when holds or events are still open after a minute
 */
export async function quiesce(
  world: World,
  patience: keyof typeof STANDSTILL_MS,
): Promise<Quiescence> {
  const beganAtMs = performance.now();
  await eventsConsumed(world);
  await carriersDone(world, STANDSTILL_MS[patience]);
  const agedHolds = await stepClock(world.auditDb, BEYOND_BOTH_DEADLINES_MINUTES);
  if (agedHolds > 0) {
    await world.system.process('worker-1').stop();
    await world.system.restart('worker-1');
    await waitFor(async () => (await openHolds(world)) === 0, {
      timeoutMs: JOBS_WITHIN_MS,
      intervalMs: 100,
      what: 'a terminal state of every hold',
    });
    await eventsConsumed(world);
  }
  return { agedHolds, tookMs: Math.round(performance.now() - beganAtMs) };
}

/** Until no hold is open, or none has ended for a while. */
async function carriersDone(world: World, standstillMs: number): Promise<void> {
  let open = Infinity;
  let sinceMs = performance.now();
  while (open > 0 && performance.now() - sinceMs < standstillMs) {
    const now = await openHolds(world);
    if (now !== open) sinceMs = performance.now();
    open = now;
    await pause(100);
  }
}

async function openHolds(world: World): Promise<number> {
  const { rows } = await world.auditDb.query<{ open: bigint }>(
    `SELECT count(*) AS open FROM freeside.budget_reservations WHERE status IN ('reserved', 'streaming')`,
  );
  return Number(rows[0]?.open ?? -1n);
}

/** Nothing left in the journals of finns nor in the stream. */
async function eventsConsumed(world: World): Promise<void> {
  const finns = world.system.members.filter(({ kind }) => kind === 'finn');
  await waitFor(
    async () => {
      const journals = await Promise.all(finns.map(({ adminUrl }) => journalPending(adminUrl)));
      return journals.every((pending) => pending === 0) && (await world.usage.pending()) === 0;
    },
    { timeoutMs: EVENTS_WITHIN_MS, intervalMs: 100, what: 'all usage events consumed' },
  );
}

async function journalPending(adminUrl: string): Promise<number> {
  const metrics = await (await fetch(`${adminUrl}/metrics`)).text();
  return Number(/^finn_usage_pending(?:\{[^}]*\})? (\d+)$/m.exec(metrics)?.[1] ?? NaN);
}

import { setTimeout as pause } from 'node:timers/promises';
import { waitFor } from '@arrakis/testkit';
import { Client } from 'pg';
import type { ServiceName } from '../../support/system.ts';
import type { CapturedUsage } from '../types.ts';
import { stepClock } from '../world/clock-step.ts';
import type { WireName } from '../world/wire-names.ts';
import type { BreakableWorld } from '../world/world.ts';
import type { PlannedFault } from './plan.ts';
import type { Supervisor } from './supervisor.ts';

export interface Victims {
  readonly world: BreakableWorld;
  readonly supervisor: Supervisor;
}

/** Carries out one fault and undoes it; resolves when its victim is ready again. Says what it did. */
export async function strike(fault: PlannedFault, victims: Victims): Promise<string> {
  const { world, supervisor } = victims;
  const { control } = world;
  switch (fault.kind) {
    case 'kill': {
      const starts = await supervisor.kill(fault.target as ServiceName, fault.lastsMs);
      return `kill -9, started again after ${fault.lastsMs} ms${starts > 1 ? `, ${starts} starts` : ''}`;
    }
    case 'freeze':
      await supervisor.freeze(fault.target as ServiceName, fault.lastsMs);
      return `SIGSTOP for ${fault.lastsMs} ms`;
    case 'postgres-crash':
      await control.crashPostgres();
      await pause(fault.lastsMs);
      await control.startPostgres();
      return `immediate stop, ${fault.lastsMs} ms later started, recovered`;
    case 'postgres-terminate':
      return `${await terminateSessions(world, fault.target)} sessions terminated`;
    case 'redis-restart':
      await control.killRedis();
      await pause(fault.lastsMs);
      await control.startRedis();
      return `killed, empty again after ${fault.lastsMs} ms`;
    case 'redis-flush':
      await control.flushRedis();
      return 'FLUSHALL';
    case 'nats-restart':
    case 'nats-wipe':
      return restartNats(fault, world);
    case 'wire-cut':
    case 'wire-delay':
    case 'wire-black-hole':
      return breakWire(fault, world);
    case 'events-doubled':
    case 'events-late':
    case 'events-reordered':
      return replayEvents(fault, world);
    case 'clock-step':
      return `${await stepClock(world.auditDb, fault.amount)} open holds aged by ${fault.amount} min`;
  }
}

async function terminateSessions(world: BreakableWorld, whose: string): Promise<number> {
  const roles = whose === 'everyone' ? ['freeside_app', 'loa_finn_ro'] : [whose];
  const admin = new Client({ connectionString: world.adminUrl, connectionTimeoutMillis: 5_000 });
  admin.on('error', () => undefined);
  await admin.connect();
  try {
    const { rowCount } = await admin.query(
      `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE datname = current_database() AND usename = ANY ($1)`,
      [roles],
    );
    return rowCount ?? 0;
  } finally {
    await admin.end();
  }
}

async function restartNats(fault: PlannedFault, world: BreakableWorld): Promise<string> {
  const { control } = world;
  await control.killNats();
  if (fault.kind === 'nats-wipe') await control.wipeNats();
  await pause(fault.lastsMs);
  await control.startNats();
  const store = fault.kind === 'nats-wipe' ? 'its store wiped' : 'its store kept';
  return `killed, ${store}, back after ${fault.lastsMs} ms`;
}

async function breakWire(fault: PlannedFault, world: BreakableWorld): Promise<string> {
  const wire = world.wires.wire(fault.target as WireName);
  if (fault.kind === 'wire-cut') await wire.cut();
  else if (fault.kind === 'wire-delay') wire.delay(fault.amount);
  else wire.blackHole();
  await pause(fault.lastsMs);
  await wire.restore();
  if (fault.kind === 'wire-cut') return `reset and refused for ${fault.lastsMs} ms`;
  if (fault.kind === 'wire-delay') return `${fault.amount} ms each way for ${fault.lastsMs} ms`;
  return `silent for ${fault.lastsMs} ms`;
}

/** Copies without a message id, or the stream itself would hold them back. */
async function replayEvents(fault: PlannedFault, world: BreakableWorld): Promise<string> {
  const genuine = world.usage.captured().filter(({ replayed }) => !replayed);
  const chosen = chooseEvents(fault, genuine);
  for (const { raw } of chosen) {
    await waitFor(() => world.usage.publish(raw).then(() => true), { timeoutMs: 15_000 });
  }
  return `${chosen.length} copies of earlier usage events published`;
}

function chooseEvents(
  fault: PlannedFault,
  genuine: readonly CapturedUsage[],
): readonly CapturedUsage[] {
  const { amount } = fault;
  if (fault.kind === 'events-late') return genuine.slice(0, amount);
  const recent = genuine.slice(-amount);
  return fault.kind === 'events-reordered' ? recent.reverse() : recent;
}

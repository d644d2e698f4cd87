import { setTimeout as pause } from 'node:timers/promises';
import { ServiceStartError, type SpawnedService } from '@arrakis/testkit';
import type { LoggedProcess } from '../report/service-logs.ts';
import type { ServiceName, System } from '../../support/system.ts';

/** A process of ours that ended although nobody had hit it. */
export interface UnexpectedEnd {
  readonly name: ServiceName;
  readonly atMs: number;
  /** Exit code or signal, and the last lines it wrote. */
  readonly how: string;
}

/** Keeps processes running as an operating system's supervisor does. */
export interface Supervisor {
  /** `kill -9`; started again after `downMs`. Resolves when it is ready; says how many starts it took. */
  kill(name: ServiceName, downMs: number): Promise<number>;
  /** Stopped in the middle of whatever it does, and continued. */
  freeze(name: ServiceName, frozenMs: number): Promise<void>;
  unexpectedEnds(): readonly UnexpectedEnd[];
  /** Every process that ever ran, for its logs. */
  processes(): readonly LoggedProcess[];
  /** Resolves when all that ended unexpectedly run again; ends are no longer watched. */
  close(): Promise<void>;
}

const MAX_STARTS = 10;
const LAST_LINES = 10;

export function supervise(system: System): Supervisor {
  const expected = new WeakSet<SpawnedService>();
  const ends: UnexpectedEnd[] = [];
  const processes: LoggedProcess[] = [];
  const restarts = new Set<Promise<unknown>>();
  let isClosed = false;

  const restart = async (name: ServiceName): Promise<number> => {
    for (let starts = 1; ; starts += 1) {
      try {
        watch(name, await system.restart(name));
        return starts;
      } catch (error) {
        // It may end while what it needs is away: it is started again, as anywhere.
        if (!(error instanceof ServiceStartError) || starts === MAX_STARTS) throw error;
        await pause(1_000);
      }
    }
  };
  const watch = (name: ServiceName, service: SpawnedService): void => {
    processes.push({ name, service });
    void service.exited.then(({ code, signal }) => {
      if (isClosed || expected.has(service)) return;
      const lines = [...service.stdout, ...service.stderr].slice(-LAST_LINES);
      const how = `${signal ?? `exit code ${String(code)}`}\n${lines.join('\n')}`;
      ends.push({ name, atMs: Date.now(), how });
      const again = restart(name).finally(() => restarts.delete(again));
      restarts.add(again);
    });
  };
  for (const { name } of system.members) watch(name, system.process(name));

  return {
    async kill(name, downMs) {
      const service = system.process(name);
      expected.add(service);
      await service.kill('SIGKILL');
      await pause(downMs);
      return restart(name);
    },
    async freeze(name, frozenMs) {
      const service = system.process(name);
      service.signal('SIGSTOP');
      await pause(frozenMs);
      service.signal('SIGCONT');
    },
    unexpectedEnds: () => ends,
    processes: () => processes,
    async close() {
      await Promise.all(restarts);
      isClosed = true;
    },
  };
}

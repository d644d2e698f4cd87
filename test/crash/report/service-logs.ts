import type { SpawnedService } from '@arrakis/testkit';
import type { ServiceName } from '../../support/system.ts';

/** One process of ours; a name has several over a run. */
export interface LoggedProcess {
  readonly name: ServiceName;
  readonly service: SpawnedService;
}

const WARN = 40;

/** Warnings and errors of all processes in the order of time, one JSON line each. */
export function warningsOf(processes: readonly LoggedProcess[]): string[] {
  return processes
    .flatMap(({ name, service }) =>
      service.logs().flatMap((line) => (levelOf(line) >= WARN ? [{ process: name, ...line }] : [])),
    )
    .sort((one, other) => timeOf(one) - timeOf(other))
    .map((line) => JSON.stringify(line));
}

function levelOf({ level }: Record<string, unknown>): number {
  if (typeof level === 'number') return level;
  return level === 'info' || level === 'debug' || level === 'trace' ? 0 : WARN;
}

function timeOf({ time }: Record<string, unknown>): number {
  return typeof time === 'number' ? time : Date.parse(String(time));
}

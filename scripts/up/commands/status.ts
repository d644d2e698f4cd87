import { existsSync } from 'node:fs';
import { connect } from 'node:net';
import type { Report } from '../report.ts';
import {
  choosePorts,
  HOST,
  PROCESS_NAMES,
  type Folders,
  type Ports,
  type ProcessName,
} from '../stack.ts';
import { hasRealVendor, logFileOf, readPorts, runningProcess } from '../state.ts';

interface Row {
  readonly name: string;
  readonly state: string;
  readonly pid: string;
  readonly port: string;
  readonly since: string;
  readonly log: string;
}

/** A table of all processes; false when only a part of them is ready. */
export async function status(folders: Folders, report: Report): Promise<boolean> {
  const ports = choosePorts(readPorts(folders));
  const names = PROCESS_NAMES.filter(
    (name) => name !== 'fake-nowpayments' || !hasRealVendor(folders),
  );
  const rows = await Promise.all(names.map((name) => rowOf(folders, ports, name)));
  const header: Row = {
    name: 'PROCESS',
    state: 'STATE',
    pid: 'PID',
    port: 'PORT',
    since: 'UP FOR',
    log: 'LOG',
  };
  for (const row of [header, ...rows]) report.print(format(row));
  const running = rows.filter(({ state }) => state === 'ready').length;
  report.print();
  if (running === rows.length) report.print(`API: http://${HOST}:${String(ports.freeside)}`);
  else
    report.print(
      rows.every(({ state }) => state === 'stopped')
        ? 'Nothing runs. Start it with: make up'
        : 'Not all is well. make up mends it; make logs shows why.',
    );
  return rows.every(({ state }) => state === 'stopped') || running === rows.length;
}

async function rowOf(folders: Folders, ports: Ports, name: ProcessName): Promise<Row> {
  const running = await runningProcess(folders, name);
  const port = portOf(ports, name);
  const logFile = logFileOf(folders, name);
  const log = existsSync(logFile) ? logFile.slice(folders.root.length + 1) : '-';
  if (running === undefined) {
    return { name, state: 'stopped', pid: '-', port: String(port), since: '-', log };
  }
  return {
    name,
    state: (await isReady(ports, name)) ? 'ready' : 'not ready',
    pid: String(running.pid),
    port: String(port),
    since: formatAge(Date.now() - running.since.getTime()),
    log,
  };
}

function portOf(ports: Ports, name: ProcessName): number {
  const port: Readonly<Record<ProcessName, number>> = {
    postgres: ports.postgres,
    redis: ports.redis,
    nats: ports.nats,
    'fake-nowpayments': ports.fakeNowpayments,
    finn: ports.finn,
    'freeside-api': ports.freeside,
    'freeside-worker': ports.freesideWorkerAdmin,
  };
  return port[name];
}

function isReady(ports: Ports, name: ProcessName): Promise<boolean> {
  switch (name) {
    case 'postgres':
    case 'redis':
    case 'nats':
    case 'fake-nowpayments':
      return accepts(portOf(ports, name));
    case 'finn':
      return answersReady(ports.finnAdmin);
    case 'freeside-api':
      return answersReady(ports.freesideAdmin);
    case 'freeside-worker':
      return answersReady(ports.freesideWorkerAdmin);
  }
}

async function answersReady(adminPort: number): Promise<boolean> {
  try {
    const response = await fetch(`http://${HOST}:${String(adminPort)}/readyz`, {
      signal: AbortSignal.timeout(3_000),
    });
    await response.body?.cancel();
    return response.ok;
  } catch {
    return false;
  }
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ port, host: HOST, timeout: 2_000 });
    const end = (accepted: boolean): void => {
      socket.destroy();
      resolve(accepted);
    };
    socket.once('connect', () => {
      end(true);
    });
    socket.once('error', () => {
      end(false);
    });
    socket.once('timeout', () => {
      end(false);
    });
  });
}

function format({ name, state, pid, port, since, log }: Row): string {
  return [
    name.padEnd(16),
    state.padEnd(10),
    pid.padStart(7),
    port.padStart(6),
    since.padStart(9),
    `  ${log}`,
  ].join(' ');
}

function formatAge(ms: number): string {
  const minutes = Math.floor(ms / 60_000);
  if (minutes < 1) return `${String(Math.floor(ms / 1000))} s`;
  if (minutes < 60) return `${String(minutes)} min`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${String(hours)} h` : `${String(Math.floor(hours / 24))} d`;
}

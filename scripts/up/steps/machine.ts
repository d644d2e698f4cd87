import { constants } from 'node:fs';
import { access, statfs } from 'node:fs/promises';
import { createServer } from 'node:net';
import { formatBytes } from '../../lib/files.ts';
import { PlainError } from '../../lib/plain-error.ts';
import { listenerOf } from '../../lib/processes.ts';
import type { Done } from '../report.ts';
import {
  HOST,
  PORT_NAMES,
  PORT_VARIABLES,
  type PortName,
  type Ports,
  type ProcessName,
  type Stack,
} from '../stack.ts';
import { readPorts, runningProcess } from '../state.ts';
import { namesVendor } from './payment-vendor.ts';

/** What a start needs on disk: databases and logs, and once the model with its archive. */
const BYTES_NEEDED = 400_000_000;
const BYTES_NEEDED_FIRST = 800_000_000;

const OWNER_OF_PORT: Readonly<Record<PortName, ProcessName>> = {
  freeside: 'freeside-api',
  freesideAdmin: 'freeside-api',
  freesideWorkerAdmin: 'freeside-worker',
  finn: 'finn',
  finnAdmin: 'finn',
  postgres: 'postgres',
  redis: 'redis',
  nats: 'nats',
  natsMonitor: 'nats',
  fakeNowpayments: 'fake-nowpayments',
};

/** Looks before anything is started: permissions, disk, ports. */
export async function checkMachine(stack: Stack, firstTime: boolean): Promise<Done<void>> {
  await checkWritable(stack);
  const free = await checkDisk(stack, firstTime ? BYTES_NEEDED_FIRST : BYTES_NEEDED);
  checkDistinct(stack.ports);
  await checkSamePorts(stack);
  const busy = await busyPorts(stack);
  if (busy.length > 0) throw portsTaken(busy, stack.ports);
  return {
    did: `Node ${process.version}, ${formatBytes(free)} free, ports from ${String(stack.ports.freeside)} on are free or ours`,
    value: undefined,
  };
}

async function checkWritable({ folders }: Stack): Promise<void> {
  for (const folder of [folders.state, folders.logs, folders.data, folders.keys]) {
    try {
      await access(folder, constants.W_OK | constants.X_OK);
    } catch (error) {
      throw new PlainError(
        `${folder} belongs to another user.`,
        [
          'make up ran here before as somebody else, perhaps as root. Run it as that user again,',
          'or let that user run: make reset',
        ],
        { cause: error },
      );
    }
  }
}

async function checkDisk({ folders }: Stack, needed: number): Promise<number> {
  const { bavail, bsize } = await statfs(folders.state);
  const free = bavail * bsize;
  if (free < needed) {
    throw new PlainError(
      `The disk that holds ${folders.state} has ${formatBytes(free)} left; ${formatBytes(needed)} are needed.`,
      ['Free some space, or clone the repository onto another disk, then run make up again.'],
    );
  }
  return free;
}

/** Ports of what runs can't be moved under it. */
async function checkSamePorts({ folders, ports }: Stack): Promise<void> {
  const before = readPorts(folders);
  if (before === undefined) return;
  for (const name of PORT_NAMES.filter((name) => before[name] !== ports[name])) {
    const owner = OWNER_OF_PORT[name];
    if ((await runningProcess(folders, owner)) === undefined) continue;
    throw new PlainError(
      `It runs already, on other ports (${owner} on ${String(before[name])}, now wanted on ${String(ports[name])}).`,
      ['Run make down first, then make up with the new ports.'],
    );
  }
}

function checkDistinct(ports: Ports): void {
  const seen = new Map<number, PortName>();
  for (const name of PORT_NAMES) {
    const other = seen.get(ports[name]);
    if (other !== undefined) {
      throw new PlainError(
        `${PORT_VARIABLES[other]} and ${PORT_VARIABLES[name]} are both ${String(ports[name])}.`,
        ['Give each process a port of its own.'],
      );
    }
    if (ports[name] > 65_535) {
      throw new PlainError(`PORT_OFFSET moves ${PORT_VARIABLES[name]} beyond 65535.`, [
        'Use a smaller one.',
      ]);
    }
    seen.set(ports[name], name);
  }
}

async function busyPorts({ folders, ports }: Stack): Promise<PortName[]> {
  const busy = await Promise.all(
    PORT_NAMES.map(async (name) => {
      if (name === 'fakeNowpayments' && namesVendor()) return false;
      const ours = await runningProcess(folders, OWNER_OF_PORT[name]);
      return ours === undefined && !(await canListen(ports[name]));
    }),
  );
  return PORT_NAMES.filter((_, index) => busy[index]);
}

function portsTaken(busy: readonly PortName[], ports: Ports): PlainError {
  const lines = busy.map((name) => {
    const owner = listenerOf(ports[name]) ?? 'a process of another user';
    return `port ${String(ports[name])} (${OWNER_OF_PORT[name]}) is taken by ${owner}`;
  });
  const [first] = busy;
  return new PlainError(['Some ports are in use:', ...lines].join('\n'), [
    'Stop what holds them, or move everything:  PORT_OFFSET=100 make up',
    ...(first === undefined
      ? []
      : [`or one port only:  ${PORT_VARIABLES[first]}=${String(ports[first] + 10)} make up`]),
  ]);
}

/** Whether a port can be bound, on loopback and on all addresses. */
async function canListen(port: number): Promise<boolean> {
  return (await canBind(port, HOST)) && (await canBind(port, undefined));
}

function canBind(port: number, host: string | undefined): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', (error) => {
      // A port below 1024 without the right to it, or one that another process holds.
      resolve(!('code' in error && (error.code === 'EADDRINUSE' || error.code === 'EACCES')));
    });
    server.listen({ port, ...(host === undefined ? {} : { host }) }, () => {
      server.close(() => {
        resolve(true);
      });
    });
  });
}

import { spawn, type ChildProcess } from 'node:child_process';
import { closeSync, mkdirSync, openSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { BackendStartError, explainDiskFull, explainStart, PortBusyError } from './errors.ts';
import { assertListening, findFreePort, isPortFree } from './free-port.ts';
import { livingProcess, removePidFile, writePidFile, isAlive, type PidRecord } from './pid-file.ts';
import { confirmProcess, registerProcess } from './process-registry.ts';
import { signalProcess, terminate, waitForExit } from './terminate.ts';

interface PortRequest {
  /** Undefined: any free port. */
  readonly port: number | undefined;
  /** What a person changes to get another port: a variable or a flag. */
  readonly setting: string;
}

interface LaunchCommand {
  readonly command: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly identity?: { readonly uid: number; readonly gid: number } | undefined;
}

/** What the three backends have in common to be started, adopted, watched and stopped. */
export interface BackendSpec {
  /** For messages: `PostgreSQL`. */
  readonly name: string;
  /** Where its files lie; named when the disk is full. */
  readonly dir: string;
  readonly pidFile: string;
  readonly logFile: string;
  readonly ports: readonly PortRequest[];
  readonly readyTimeoutMs: number;
  /** Writes the configuration for these ports. Called anew for each attempt. */
  prepare(ports: readonly number[]): Promise<LaunchCommand>;
  /** One real exchange of the backend's protocol; throws as long as it isn't ready. */
  probe(ports: readonly number[]): Promise<void>;
}

export interface BackendProcess {
  readonly pid: number;
  readonly ports: readonly number[];
  /** False when this call started it, true when it ran before. */
  readonly adopted: boolean;
  /** Orderly: what it holds is on disk afterwards. Killed if it takes longer than 10 s. */
  stop(): Promise<void>;
  /** SIGKILL, as a crash. Resolves when the process is gone. */
  kill(): Promise<void>;
}

/** All three end at once and in good order on it, even with clients connected. */
const STOP_SIGNAL = 'SIGINT';
const PROBE_PAUSE_MS = 20;
/** How long a running instance may take to answer before it counts as half-finished. */
const ADOPT_TIMEOUT_MS = 5_000;
/** One that doesn't answer will hardly end in good order either. */
const UNHEALTHY_GRACE_MS = 2_000;
const PORT_ATTEMPTS = 5;

/**
 * Adopts the instance that the pid file names if it answers; else ends what is left of it and
 * starts a new one.
 * @throws PortBusyError, DiskFullError or BackendStartError
 */
export async function startBackend(spec: BackendSpec): Promise<BackendProcess> {
  try {
    return (await adopt(spec)) ?? (await startFresh(spec));
  } catch (error) {
    throw explainDiskFull(error, spec.name, spec.dir);
  }
}

/** The instance behind a pid file, for whoever only wants to look or stop; undefined if none runs. */
export async function findBackend(pidFile: string): Promise<BackendProcess | undefined> {
  const record = await livingProcess(pidFile);
  return record === undefined ? undefined : handle(record, pidFile, true);
}

async function adopt(spec: BackendSpec): Promise<BackendProcess | undefined> {
  const record = await livingProcess(spec.pidFile);
  if (record === undefined) return undefined;
  const samePorts =
    record.ports.length === spec.ports.length &&
    spec.ports.every(({ port }, index) => port === undefined || port === record.ports[index]);
  if (samePorts && (await answers(spec, record))) return handle(record, spec.pidFile, true);
  await terminate(record, STOP_SIGNAL, samePorts ? UNHEALTHY_GRACE_MS : undefined);
  await removePidFile(spec.pidFile);
  return undefined;
}

async function answers(spec: BackendSpec, record: PidRecord): Promise<boolean> {
  const readyTimeoutMs = Math.min(ADOPT_TIMEOUT_MS, spec.readyTimeoutMs);
  const failure = await awaitReady({ ...spec, readyTimeoutMs }, record);
  return failure === undefined;
}

async function startFresh(spec: BackendSpec): Promise<BackendProcess> {
  for (let attempt = 1; ; attempt += 1) {
    const ports = await choosePorts(spec);
    try {
      return await launch(spec, ports);
    } catch (error) {
      // A free port may be taken between our look and the server's bind: look again.
      const ours =
        error instanceof PortBusyError && spec.ports.some(({ port }) => port === undefined);
      if (!ours || attempt === PORT_ATTEMPTS) throw error;
    }
  }
}

async function choosePorts(spec: BackendSpec): Promise<number[]> {
  const chosen: number[] = [];
  for (const { port, setting } of spec.ports) {
    if (port !== undefined && !(await isPortFree(port))) {
      throw new PortBusyError({ backend: spec.name, port, setting });
    }
    chosen.push(port ?? (await findFreePort()));
  }
  return chosen;
}

async function launch(spec: BackendSpec, ports: readonly number[]): Promise<BackendProcess> {
  const { command, args, env, identity } = await spec.prepare(ports);
  mkdirSync(dirname(spec.logFile), { recursive: true });
  const log = openSync(spec.logFile, 'a', 0o640);
  const logOffset = statSync(spec.logFile).size;
  // Detached and in a directory of its own choosing: it outlives us, and Ctrl-C doesn't reach it.
  const child = spawn(command, args, {
    detached: true,
    stdio: ['ignore', log, log],
    cwd: '/',
    env,
    ...(identity === undefined ? {} : { uid: identity.uid, gid: identity.gid }),
  });
  registerProcess(child.pid);
  closeSync(log);
  child.unref();
  const fail = (reason: string): Promise<Error> =>
    explainStart({
      ...primaryPort(spec, ports),
      backend: spec.name,
      dir: spec.dir,
      reason,
      logFile: spec.logFile,
      logOffset,
    });

  await new Promise<void>((resolve, reject) => {
    child.once('spawn', resolve);
    child.once('error', (error) =>
      reject(
        new BackendStartError({ backend: spec.name, reason: error.message, logFile: spec.logFile }),
      ),
    );
  });
  const record = await recordOrEnd(child, spec.pidFile, ports);
  if (record === undefined) throw await fail('it ended at once');
  const failure = await awaitReady(spec, record);
  if (failure === undefined) return handle(record, spec.pidFile, false);
  await terminate(record, STOP_SIGNAL);
  await removePidFile(spec.pidFile);
  throw await fail(failure);
}

/** Never leaves a process behind that no file names, as when the disk is too full for the file. */
async function recordOrEnd(
  child: ChildProcess,
  pidFile: string,
  ports: readonly number[],
): Promise<PidRecord | undefined> {
  try {
    if (child.pid === undefined) return undefined;
    await confirmProcess(child.pid);
    return await writePidFile(pidFile, child.pid, ports);
  } catch (error) {
    child.kill('SIGKILL');
    throw error;
  }
}

function primaryPort(
  spec: BackendSpec,
  ports: readonly number[],
): { port: number; setting: string } {
  return { port: ports[0] ?? 0, setting: spec.ports[0]?.setting ?? 'the port option' };
}

/** Undefined once the backend answers, else why it didn't. */
async function awaitReady(spec: BackendSpec, record: PidRecord): Promise<string | undefined> {
  const deadline = performance.now() + spec.readyTimeoutMs;
  for (;;) {
    try {
      // A plain connection first: the clients' own timers outlive a refused attempt by seconds.
      await assertListening(record.ports[0] ?? 0);
      await spec.probe(record.ports);
      return undefined;
    } catch (error) {
      if (!(await isAlive(record))) return 'it ended before it was ready';
      if (performance.now() > deadline) {
        const last = error instanceof Error ? error.message : String(error);
        return `it did not answer within ${spec.readyTimeoutMs} ms (${last})`;
      }
    }
    await pause(PROBE_PAUSE_MS);
  }
}

function handle(record: PidRecord, pidFile: string, adopted: boolean): BackendProcess {
  return {
    pid: record.pid,
    ports: record.ports,
    adopted,
    stop: async () => {
      await terminate(record, STOP_SIGNAL);
      await removePidFile(pidFile);
    },
    kill: async () => {
      await signalProcess(record, 'SIGKILL');
      if (!(await waitForExit(record, 5_000)))
        throw new Error(`process ${record.pid} does not die`);
    },
  };
}

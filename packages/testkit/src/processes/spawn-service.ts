import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { get } from 'node:http';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { setTimeout as pause } from 'node:timers/promises';
import { confirmProcess, registerProcess } from '../backends/process-registry.ts';

/**
 * Where stdout goes. Whoever measures must not hold every line in memory: nowhere, or at the end of
 * a file.
 */
export type ServiceOutput = 'collect' | 'ignore' | { readonly file: string };

export interface SpawnServiceOptions {
  /** Absolute path of the entry file. */
  readonly entry: string;
  readonly args?: readonly string[];
  /** The whole environment of the process: nothing is inherited. */
  readonly env: Readonly<Record<string, string>>;
  /** Answers 2xx once the service is ready. Without it, a started process counts as ready. */
  readonly readyUrl?: string;
  /** Default 60 s. */
  readonly readyTimeoutMs?: number;
  readonly cwd?: string;
  readonly output?: ServiceOutput;
}

export interface ServiceExit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export interface SpawnedService {
  readonly pid: number;
  /** Complete lines so far. */
  readonly stdout: readonly string[];
  readonly stderr: readonly string[];
  /** The lines of stdout that are JSON objects: what pino wrote. */
  logs(): Record<string, unknown>[];
  /** Resolves when the process has ended, by whatever cause. */
  readonly exited: Promise<ServiceExit>;
  /** Sends the signal and waits for the end. `kill('SIGKILL')` is the crash. */
  kill(signal?: NodeJS.Signals): Promise<ServiceExit>;
  /** Sends the signal and doesn't wait. */
  signal(signal: NodeJS.Signals): void;
  /** SIGTERM, and SIGKILL if it hasn't ended after `graceMs` (10 s). */
  stop(graceMs?: number): Promise<ServiceExit>;
}

/** A service did not become ready; the message carries the end of its output. */
export class ServiceStartError extends Error {
  constructor(entry: string, reason: string, output: readonly (readonly string[])[]) {
    // The end of each: a long stderr would hide the log line that says why.
    const ends = output.flatMap((lines) => lines.slice(-10));
    super(`${entry} ${reason}\n${ends.join('\n')}`);
    this.name = 'ServiceStartError';
  }
}

const running = new Set<ChildProcess>();
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

/** Starts a real process under the Node that runs us and waits until it is ready. */
export async function spawnService(options: SpawnServiceOptions): Promise<SpawnedService> {
  const output = openOutput(options.output ?? 'collect');
  const child = spawn(process.execPath, [options.entry, ...(options.args ?? [])], {
    env: { ...options.env },
    stdio: ['ignore', output, 'pipe'],
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
  });
  if (typeof output === 'number') closeSync(output);
  running.add(child);
  registerProcess(child.pid);
  const exited = exitOf(child);
  const stdout: string[] = [];
  const stderr: string[] = [];
  collectLines(child.stdout, stdout);
  collectLines(child.stderr, stderr);
  await once(child, 'spawn');
  await confirmProcess(child.pid ?? 0);

  const kill = async (signal: NodeJS.Signals = 'SIGTERM'): Promise<ServiceExit> => {
    child.kill(signal);
    return exited;
  };
  const service: SpawnedService = {
    pid: child.pid ?? 0,
    stdout,
    stderr,
    exited,
    kill,
    signal: (signal) => void child.kill(signal),
    logs: () => stdout.flatMap(parseLog),
    stop: (graceMs = 10_000) => stopChild(child, exited, graceMs),
  };
  const failure = await awaitReady(service, options);
  if (failure !== undefined) {
    await kill('SIGKILL');
    throw new ServiceStartError(options.entry, failure, [stdout, stderr]);
  }
  return service;
}

function openOutput(output: ServiceOutput): 'pipe' | 'ignore' | number {
  if (output === 'collect') return 'pipe';
  return output === 'ignore' ? 'ignore' : openSync(output.file, 'a', 0o600);
}

function collectLines(output: Readable | null, lines: string[]): void {
  if (output !== null) createInterface({ input: output }).on('line', (line) => lines.push(line));
}

async function exitOf(child: ChildProcess): Promise<ServiceExit> {
  return new Promise((resolve) => {
    // 'close' comes after the last of the output, 'exit' may come before it.
    child.once('close', (code, signal) => {
      running.delete(child);
      resolve({ code, signal });
    });
  });
}

async function stopChild(
  child: ChildProcess,
  exited: Promise<ServiceExit>,
  graceMs: number,
): Promise<ServiceExit> {
  child.kill('SIGTERM');
  const timer = setTimeout(() => child.kill('SIGKILL'), graceMs);
  try {
    return await exited;
  } finally {
    clearTimeout(timer);
  }
}

async function awaitReady(
  service: SpawnedService,
  options: SpawnServiceOptions,
): Promise<string | undefined> {
  const { readyUrl, readyTimeoutMs = 60_000 } = options;
  if (readyUrl === undefined) return undefined;
  const deadline = performance.now() + readyTimeoutMs;
  const ended = service.exited.then((exit) => exit);
  for (;;) {
    const exit = await Promise.race([ended, pause(20)]);
    if (exit !== undefined) return `ended before it was ready (${JSON.stringify(exit)})`;
    if (await answersOk(readyUrl)) return undefined;
    if (performance.now() > deadline) return `was not ready within ${readyTimeoutMs} ms`;
  }
}

async function answersOk(url: string): Promise<boolean> {
  return new Promise((resolve) => {
    const request = get(url, { agent: false, timeout: 2_000 }, (response) => {
      response.resume();
      const status = response.statusCode ?? 0;
      resolve(status >= 200 && status < 300);
    });
    request.on('timeout', () => request.destroy());
    request.on('error', () => resolve(false));
  });
}

function parseLog(line: string): Record<string, unknown>[] {
  if (!line.startsWith('{')) return [];
  try {
    return [JSON.parse(line) as Record<string, unknown>];
  } catch {
    return [];
  }
}

import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { silent, type Progress } from './progress.ts';

export interface RunOptions {
  readonly onProgress?: Progress | undefined;
  /** Added to the inherited environment; with `cleanEnv` it is the whole environment. */
  readonly env?: Readonly<Record<string, string>>;
  readonly cleanEnv?: boolean;
  readonly cwd?: string;
  readonly identity?: { readonly uid: number; readonly gid: number } | undefined;
}

export interface RunResult {
  /** 127 when there is no such command. */
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a command to its end. A non-zero exit is a result, not an exception. */
export async function runCommand(
  command: string,
  args: readonly string[],
  options: RunOptions = {},
): Promise<RunResult> {
  const child = spawn(command, args, {
    stdio: ['ignore', 'pipe', 'pipe'],
    // A directory that every user may enter, for a child that runs as another user.
    cwd: options.cwd ?? '/',
    env: options.cleanEnv ? { ...options.env } : { ...process.env, ...options.env },
    ...(options.identity ?? {}),
  });
  const onProgress = options.onProgress ?? silent;
  const stdout = collectLines(child.stdout, onProgress);
  const stderr = collectLines(child.stderr, onProgress);
  const exitCode = await new Promise<number>((resolve, reject) => {
    child.once('error', (error: NodeJS.ErrnoException) =>
      error.code === 'ENOENT' ? resolve(127) : reject(error),
    );
    child.once('close', (code) => resolve(code ?? 1));
  });
  return { exitCode, stdout: stdout.join('\n'), stderr: stderr.join('\n') };
}

function collectLines(stream: Readable, onProgress: Progress): string[] {
  const lines: string[] = [];
  createInterface({ input: stream }).on('line', (line) => {
    lines.push(line);
    onProgress(line);
  });
  return lines;
}

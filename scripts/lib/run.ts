import { spawn, type ChildProcess } from 'node:child_process';

/** Commands that run in the foreground of ours, and end with it. */

export interface RunResult {
  readonly code: number;
  readonly output: string;
}

const running = new Set<ChildProcess>();

/**
 * Runs a command and collects what it prints (the last 64 KiB). A non-zero exit is a result, not
 * an error.
 *
 * @throws when the command can't be started at all (`ENOENT`: it is not installed).
 */
export function run(
  command: string,
  args: readonly string[],
  options: { env: Readonly<Record<string, string>>; cwd?: string; timeoutMs?: number },
): Promise<RunResult> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      env: options.env,
      cwd: options.cwd,
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: options.timeoutMs,
    });
    running.add(child);
    let output = '';
    const collect = (chunk: Buffer): void => {
      output = (output + chunk.toString('utf8')).slice(-65_536);
    };
    child.stdout.on('data', collect);
    child.stderr.on('data', collect);
    child.once('error', (error) => {
      running.delete(child);
      reject(error);
    });
    child.once('close', (code) => {
      running.delete(child);
      resolve({ code: code ?? 1, output });
    });
  });
}

/** Whether a command is on PATH. */
export async function hasCommand(command: string, env: Record<string, string>): Promise<boolean> {
  try {
    return (await run('sh', ['-c', 'command -v "$1"', 'sh', command], { env })).code === 0;
  } catch {
    return false;
  }
}

/** For ^C: ends what still runs in the foreground. */
export function endRunning(): void {
  for (const child of running) child.kill('SIGTERM');
}

/** The last lines of a command's output, for an explanation. */
export function lastLines(text: string, count: number): string {
  return text.trimEnd().split('\n').slice(-count).join('\n');
}

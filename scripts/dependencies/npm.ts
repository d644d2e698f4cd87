import { spawn } from 'node:child_process';
import { resolve } from 'node:path';

const ROOT = resolve(import.meta.dirname, '../..');

export interface NpmResult {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs npm in the repository. A non-zero exit is a result. @throws Error when there is no npm. */
export async function npm(args: readonly string[]): Promise<NpmResult> {
  const child = spawn('npm', [...args, '--no-update-notifier', '--no-fund'], {
    cwd: ROOT,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const [stdout, stderr]: [Buffer[], Buffer[]] = [[], []];
  child.stdout.on('data', (chunk: Buffer) => stdout.push(chunk));
  child.stderr.on('data', (chunk: Buffer) => stderr.push(chunk));
  const exitCode = await new Promise<number>((done, reject) => {
    child.once('error', reject);
    child.once('close', (code) => done(code ?? 1));
  });
  const text = (chunks: readonly Buffer[]): string => Buffer.concat(chunks).toString('utf8');
  return { exitCode, stdout: text(stdout), stderr: text(stderr) };
}

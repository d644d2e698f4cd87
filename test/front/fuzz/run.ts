import { spawn } from 'node:child_process';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Schemathesis } from '@arrakis/testkit';

export interface FuzzRun {
  /** Names its files and its lines of output. */
  readonly name: string;
  /** URL or file of the OpenAPI document. */
  readonly document: string;
  readonly baseUrl: string;
  /** Of schemathesis.toml; see `fuzzConfig`. */
  readonly config: string;
  readonly mode: 'positive' | 'negative' | 'all';
  readonly seed: number;
  /** Test cases an operation in each phase, at most. */
  readonly examples: number;
  readonly apiKey: string;
  readonly excludedChecks?: readonly string[];
  readonly timeoutMs: number;
}

/** The part of schemathesis' own report that is read here. */
export interface FuzzReport {
  readonly seed: number;
  readonly complete: boolean;
  readonly operations: { readonly total: number; readonly tested: number };
  readonly test_cases: { readonly generated: number };
  readonly failures: readonly {
    readonly code: string;
    readonly title: string;
    readonly operations: readonly string[];
  }[];
  readonly errors: readonly unknown[];
  /** By operation and phase: how many valid requests were accepted. */
  readonly valid_rates: Readonly<Record<string, Readonly<Record<string, { accepted: number }>>>>;
}

export interface FuzzResult {
  readonly exitCode: number | null;
  readonly report: FuzzReport;
  /** What schemathesis printed: each failure with a curl line, credentials filtered by itself. */
  readonly output: string;
  readonly logFile: string;
}

/** One run of schemathesis to its end. A finding is a result, not an exception. */
export async function runSchemathesis(
  tool: Schemathesis,
  run: FuzzRun,
  dir: string,
): Promise<FuzzResult> {
  await mkdir(dir, { recursive: true });
  const file = (extension: string): string => join(dir, `${run.name}.${extension}`);
  await writeFile(file('toml'), run.config);
  const { exitCode, output } = await execute(
    tool,
    ['--config-file', file('toml'), 'run', run.document, ...options(run, file('json'))],
    { cwd: dir, apiKey: run.apiKey, timeoutMs: run.timeoutMs },
  );
  await writeFile(file('log'), output);
  const text = await readFile(file('json'), 'utf8').catch(() => '');
  if (text === '') {
    throw new Error(`schemathesis wrote no report (exit ${String(exitCode)}):\n${output}`);
  }
  return {
    exitCode,
    report: JSON.parse(text) as FuzzReport,
    output,
    logFile: file('log'),
  };
}

function options(run: FuzzRun, reportFile: string): string[] {
  const excluded = run.excludedChecks ?? [];
  return [
    ...['--url', run.baseUrl, '--mode', run.mode, '--phases', 'examples,coverage,fuzzing,stateful'],
    ...['--checks', 'all', ...(excluded.length > 0 ? ['--exclude-checks', excluded.join()] : [])],
    ...['--seed', String(run.seed), '--max-examples', String(run.examples)],
    // The strings of the narrowest fields are hard to break, which is no fault of theirs.
    ...['--suppress-health-check', 'all', '--generation-database', 'none'],
    ...['--continue-on-failure', '--no-color', '--request-timeout', '30'],
    ...['--report', 'json', '--report-json-path', reportFile],
  ];
}

async function execute(
  tool: Schemathesis,
  args: readonly string[],
  options: { cwd: string; apiKey: string; timeoutMs: number },
): Promise<{ exitCode: number | null; output: string }> {
  const child = spawn(tool.command, [...tool.args, ...args], {
    cwd: options.cwd,
    // By the environment: arguments can be read by everyone with `ps`.
    env: {
      PATH: process.env.PATH,
      HOME: options.cwd,
      ARRAKIS_KEY: options.apiKey,
      LC_ALL: 'C.UTF-8',
    },
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: options.timeoutMs,
    killSignal: 'SIGKILL',
  });
  const pieces: Buffer[] = [];
  child.stdout.on('data', (piece: Buffer) => pieces.push(piece));
  child.stderr.on('data', (piece: Buffer) => pieces.push(piece));
  const exitCode = await new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  });
  return { exitCode, output: Buffer.concat(pieces).toString('utf8') };
}

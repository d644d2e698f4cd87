import { basename } from 'node:path';
import { parseArgs, type ParseArgsOptionsConfig } from 'node:util';
import { createPool } from '@arrakis/postgres';
import type { Pool } from 'pg';
import { EnvError, requiredSecretEnv } from '../lib/env.ts';
import { explain, type PlainError } from '../lib/plain-error.ts';

/** How a command ended, for the shell. */
export const EXIT = {
  ok: 0,
  /** It could not be done: something is away or broken. */
  failed: 1,
  /** The command line or the environment is wrong. */
  usage: 2,
  /** A rule says no; running it again changes nothing. */
  refused: 3,
} as const;
export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

/** The command line can't be understood. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

type Flags<T extends ParseArgsOptionsConfig> = ReturnType<
  typeof parseArgs<{ options: T; allowPositionals: true; strict: true }>
>;

/** @throws UsageError; never quotes what may be an API key. */
export function parseFlags<T extends ParseArgsOptionsConfig>(
  args: readonly string[],
  options: T,
): Flags<T> {
  try {
    return parseArgs({ args: [...args], options, allowPositionals: true, strict: true });
  } catch (error) {
    const message = error instanceof Error ? error.message : 'the arguments cannot be read';
    const [sentence = message] = message.split('. ', 1);
    throw new UsageError(sentence.replace(/lf_(?:live|test)_\S+/g, 'lf_…'));
  }
}

/** A whole number, or a UsageError that names the flag. */
export function integerFlag(name: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (!/^\d{1,15}$/.test(text)) throw new UsageError(`--${name} takes a whole number`);
  return Number(text);
}

/** Opens the database of DATABASE_URL for `work` and closes it whatever happens. */
export async function withDatabase<T>(
  purpose: string,
  work: (pool: Pool) => Promise<T>,
): Promise<T> {
  const url = requiredSecretEnv('DATABASE_URL', purpose);
  const pool = createPool({
    url,
    max: 3,
    applicationName: `arrakis-${basename(process.argv[1] ?? '', '.ts')}`,
    // A query that is under way reports a broken connection itself.
    onError: () => undefined,
  });
  try {
    return await work(pool);
  } finally {
    await pool.end();
  }
}

/** Runs a command, says plainly what went wrong, and sets the exit code. */
export async function runCommand(usage: string, command: () => Promise<ExitCode>): Promise<void> {
  try {
    process.exitCode = await command();
  } catch (error) {
    process.exitCode = report(usage, error);
  }
}

function report(usage: string, error: unknown): ExitCode {
  if (error instanceof UsageError) {
    console.error(`${error.message}\n\n${usage}`);
    return EXIT.usage;
  }
  if (error instanceof EnvError) {
    console.error(error.message);
    return EXIT.usage;
  }
  const plain = explainDatabase(error) ?? explain(error);
  console.error([plain.message, ...plain.advice].join('\n'));
  return EXIT.failed;
}

/** The commonest trouble of all: no database there, or the wrong one. */
function explainDatabase(error: unknown): Pick<PlainError, 'message' | 'advice'> | undefined {
  if (!(error instanceof Error) || !('code' in error)) return undefined;
  switch (error.code) {
    case 'ECONNREFUSED':
    case 'ENOTFOUND':
      return {
        message: `The database of DATABASE_URL can't be reached (${error.code}).`,
        advice: ['Is it running? `make status` shows it; `make up` starts it.'],
      };
    case '28P01':
    case '28000':
      return {
        message: 'The database refused the name or password in DATABASE_URL.',
        advice: ['Ask whoever runs it for the URL of the role that this command needs.'],
      };
    case '42501':
      return {
        message: 'The role in DATABASE_URL may not do this.',
        advice: ['API keys need freeside_app, signing keys need migrator.'],
      };
    case '42P01':
    case '3F000':
      return {
        message: 'The database has no such table yet.',
        advice: ['Run the migrations first: node scripts/migrate.ts up'],
      };
    default:
      return undefined;
  }
}

import { open, rename, rm } from 'node:fs/promises';
import type { Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { runVerifier } from '@arrakis/audit';
import type { Pool } from 'pg';
import { exportTrail } from '../services/freeside/src/features/audit/export.ts';
import { EXIT, UsageError, parseFlags, runCommand, withDatabase } from './keys/command-line.ts';
import { PlainError, systemCode } from './lib/plain-error.ts';

/** The audit trail by hand; see docs/audit.md. */
const USAGE = `Usage: node scripts/audit.ts <command>

  export [--after SEQ] [--out FILE]   writes the trail as JSONL, to standard output without --out;
                                      after the checkpoint with that sequence, or from the beginning
  verify [options] <FILE | ->         recomputes an export; needs no database (verify --help)

Environment of export: DATABASE_URL (any role that may read freeside.audit_*)
Exit code of verify: 0 intact, 1 broken, 2 wrong usage, 3 intact but the books did not balance`;

const args = process.argv.slice(2);

if (args[0] === 'verify') {
  process.exitCode = await runVerifier(args.slice(1), {
    stdin: process.stdin as AsyncIterable<Uint8Array>,
    print: (text) => console.log(text),
    complain: (text) => console.error(text),
  });
} else {
  await runCommand(USAGE, async () => {
    if (args[0] === 'help' || args[0] === '--help' || args[0] === '-h') {
      console.log(USAGE);
      return EXIT.ok;
    }
    if (args[0] !== 'export') throw new UsageError('Say export or verify.');
    const { after, out } = parseExport(args.slice(1));
    const lines = await withDatabase('the database of the trail', (pool) =>
      out === undefined ? print(pool, after) : writeFile(pool, after, out),
    );
    console.error(`${String(lines)} lines exported`);
    return EXIT.ok;
  });
}

function parseExport(rest: readonly string[]): { after: bigint; out: string | undefined } {
  const { values, positionals } = parseFlags(rest, {
    after: { type: 'string' },
    out: { type: 'string' },
  });
  if (positionals.length > 0) throw new UsageError('There are more arguments than export takes.');
  const { after = '0', out } = values;
  if (!/^(?:0|[1-9][0-9]{0,18})$/.test(after)) throw new UsageError('--after takes a sequence.');
  return { after: BigInt(after), out };
}

/** Under its own name only once it is whole: half an export must not look like one. */
async function writeFile(pool: Pool, after: bigint, file: string): Promise<number> {
  const partial = `${file}.partial`;
  const handle = await open(partial, 'w', 0o640);
  try {
    const lines = await write(pool, after, handle.createWriteStream());
    await rename(partial, file);
    return lines;
  } catch (error) {
    await rm(partial, { force: true });
    throw error;
  }
}

async function print(pool: Pool, after: bigint): Promise<number> {
  try {
    return await write(pool, after, process.stdout);
  } catch (error) {
    if (systemCode(error) !== 'EPIPE') throw error;
    throw new PlainError('Whoever read the export went away before it was whole.', [], {
      cause: error,
    });
  }
}

async function write(pool: Pool, after: bigint, to: Writable): Promise<number> {
  let written = 0;
  await pipeline(async function* () {
    for await (const lines of exportTrail(pool, { after, exportedAt: new Date() })) {
      yield `${lines.join('\n')}\n`;
      written += lines.length;
    }
  }, to);
  return written;
}

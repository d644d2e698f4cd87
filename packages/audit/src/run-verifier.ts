import { createReadStream, readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { readCheckpointKey, type CheckpointKey } from './checkpoint-signature.ts';
import { parseHead, type Head } from './head.domain.ts';
import { readLines } from './read-lines.ts';
import { EXIT, describeVerdict, exitCodeOf } from './report.ts';
import { verifyExport, type Verdict } from './verify-export.ts';

const USAGE = `Usage: arrakis-audit [options] <export.jsonl | ->

Recomputes the chain and the balances of an audit export and names the first line that is wrong.

  --key FILE            public key of the signer (PEM or JWK); repeat for several
  --expect SEQ:HASH     a head noted earlier, which must be in this trail; repeat for several
  --require-signature   the last checkpoint must be signed by one of the keys
  --json                the verdict as one JSON object

Exit code: 0 intact, 1 broken, 2 wrong usage or unreadable, 3 intact but the books did not balance`;

const CHUNK_BYTES = 1024 * 1024;

class UsageError extends Error {
  override readonly name = 'UsageError';
}

export interface VerifierIo {
  readonly stdin: AsyncIterable<Uint8Array>;
  readonly print: (text: string) => void;
  readonly complain: (text: string) => void;
}

/** The command. @returns its exit code. */
export async function runVerifier(args: readonly string[], io: VerifierIo): Promise<number> {
  try {
    const { file, json, help, ...options } = parse(args);
    if (help) {
      io.print(USAGE);
      return EXIT.intact;
    }
    const verdict = await verifyExport(readLines(open(file, io)), options);
    io.print(json ? asJson(verdict) : describeVerdict(verdict, options.keys.length));
    return exitCodeOf(verdict);
  } catch (error) {
    const message = error instanceof Error ? error.message : 'it failed';
    io.complain(error instanceof UsageError ? `${message}\n\n${USAGE}` : message);
    return EXIT.usage;
  }
}

function open(file: string, io: VerifierIo): AsyncIterable<Uint8Array> {
  if (file === '-') return io.stdin;
  return createReadStream(file, {
    highWaterMark: CHUNK_BYTES,
  }) as AsyncIterable<Uint8Array>;
}

interface Command {
  readonly file: string;
  readonly json: boolean;
  readonly help: boolean;
  readonly keys: readonly CheckpointKey[];
  readonly anchors: readonly Head[];
  readonly requireSignature: boolean;
}

function parse(args: readonly string[]): Command {
  const { values, positionals } = readArgs(args);
  const [file, ...more] = positionals;
  const help = values.help === true;
  if (!help && (file === undefined || more.length > 0)) throw new UsageError('Name one export.');
  const keys = (values.key ?? []).map(readKey);
  const requireSignature = values['require-signature'] === true;
  if (requireSignature && keys.length === 0) {
    throw new UsageError('--require-signature needs a --key.');
  }
  return {
    file: file ?? '-',
    json: values.json === true,
    help,
    keys,
    anchors: (values.expect ?? []).map(readHead),
    requireSignature,
  };
}

function readArgs(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      allowPositionals: true,
      options: {
        key: { type: 'string', multiple: true },
        expect: { type: 'string', multiple: true },
        'require-signature': { type: 'boolean' },
        json: { type: 'boolean' },
        help: { type: 'boolean', short: 'h' },
      },
    });
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : 'The arguments are wrong.');
  }
}

function readKey(file: string): CheckpointKey {
  const key = readCheckpointKey(readFileSync(file, 'utf8'));
  if (key === undefined) throw new UsageError(`${file} is not the PEM or JWK of a P-256 key.`);
  return key;
}

function readHead(text: string): Head {
  const head = parseHead(text);
  if (head === undefined) {
    throw new UsageError('--expect takes SEQUENCE:HASH, as a verification prints it.');
  }
  return head;
}

function asJson(verdict: Verdict): string {
  return JSON.stringify(verdict, (_, value: unknown) =>
    typeof value === 'bigint' ? value.toString() : value,
  );
}

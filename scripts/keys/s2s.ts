import { setTimeout as pause } from 'node:timers/promises';
import { JWKS_PATH, KEY_PROPAGATION_SECONDS } from '@arrakis/contracts';
import { isKid } from '@arrakis/signing-keys';
import { FileKeyStore } from '../../services/freeside/src/features/s2s/file-key-store.ts';
import {
  ROTATE_BEFORE_EXPIRY_SECONDS,
  decideWait,
  type KeyInventoryEntry,
} from '../../services/freeside/src/features/s2s/key-rotation.domain.ts';
import {
  RotationError,
  describeStop,
} from '../../services/freeside/src/features/s2s/key-rotation-progress.ts';
import { KeyRotationService } from '../../services/freeside/src/features/s2s/key-rotation.service.ts';
import { KeyStoreError } from '../../services/freeside/src/features/s2s/signing-key-store.ts';
import { requiredEnv } from '../lib/env.ts';
import { PlainError } from '../lib/plain-error.ts';
import { minute, table } from './api-key-output.ts';
import {
  EXIT,
  UsageError,
  integerFlag,
  parseFlags,
  runCommand,
  withDatabase,
  type ExitCode,
} from './command-line.ts';
import { createProgressPrinter, type ProgressPrinter } from './s2s-progress.ts';

const USAGE = `Usage: node scripts/keys/s2s.ts <command>

  bootstrap            makes sure that a signing key is active and published; safe to repeat
  rotate --jwks-url <url> --finn-url <url> [--wait-seconds <n>]
                       publishes a new key, sees it served, waits, proves it at finn, switches;
                       give each flag once for every instance
  list [--json]        shows every key and what it is good for
  retire               removes replaced keys whose overlap is over; run it daily
  retire --kid <kid> --now
                       takes one key out of use at once (a leaked or an unwanted one)

Environment: DATABASE_URL (role migrator), S2S_KEY_STORE_DIR
The wait is at least ${KEY_PROPAGATION_SECONDS} s; --unsafe-short-wait allows less, for tests only.
--patience-seconds (30): how long an endpoint may fail before the rotation stops.
Exit codes: 0 done, 1 stopped or failed (it says in which state), 2 wrong usage`;

const OPTIONS = {
  'jwks-url': { type: 'string', multiple: true, default: [] as string[] },
  'finn-url': { type: 'string', multiple: true, default: [] as string[] },
  'wait-seconds': { type: 'string' },
  'unsafe-short-wait': { type: 'boolean', default: false },
  'patience-seconds': { type: 'string' },
  kid: { type: 'string' },
  now: { type: 'boolean', default: false },
  json: { type: 'boolean', default: false },
  help: { type: 'boolean', short: 'h', default: false },
} as const;

type Parsed = ReturnType<typeof parseFlags<typeof OPTIONS>>;

async function main(args: readonly string[]): Promise<ExitCode> {
  const parsed = parseFlags(args, OPTIONS);
  const [command, ...rest] = parsed.positionals;
  if (rest.length > 0) throw new UsageError('There are more arguments than the command takes.');
  if (parsed.values.help || command === 'help') {
    console.log(USAGE);
    return EXIT.ok;
  }
  switch (command) {
    case 'bootstrap':
      return withKeys(bootstrap);
    case 'rotate':
      return rotate(parsed);
    case 'list':
      return withKeys((keys) => list(keys, parsed));
    case 'retire':
      return retire(parsed);
    case undefined:
      throw new UsageError('Say what to do.');
    default:
      throw new UsageError('There is no such command.');
  }
}

/** Its last line is what `make up` shows of it. */
async function bootstrap(keys: KeyRotationService): Promise<ExitCode> {
  const { kid, changed } = await keys.bootstrap();
  console.log(
    changed ? `signing key ${kid} is active now` : `signing key ${kid} is active already`,
  );
  return EXIT.ok;
}

function rotate({ values }: Parsed): Promise<ExitCode> {
  const jwksUrls = values['jwks-url'].map((url) => httpUrl('jwks-url', url, JWKS_PATH));
  const finnUrls = values['finn-url'].map((url) => httpUrl('finn-url', url, '/'));
  if (jwksUrls.length === 0) throw new UsageError('--jwks-url: where do verifiers read the keys?');
  if (finnUrls.length === 0) throw new UsageError('--finn-url: which finn proves the new key?');
  const wait = decideWait(
    integerFlag('wait-seconds', values['wait-seconds']),
    values['unsafe-short-wait'],
  );
  if (!wait.ok) throw new UsageError(`--wait-seconds: ${wait.reason}`);
  const patienceSeconds = integerFlag('patience-seconds', values['patience-seconds']) ?? 30;
  return withKeys(async (keys, progress) => {
    const stop = new AbortController();
    const onSignal = (): void => stop.abort(new Error('it was interrupted'));
    process.once('SIGINT', onSignal).once('SIGTERM', onSignal);
    try {
      const { waitSeconds } = wait;
      const done = await keys.rotate({
        jwksUrls,
        finnUrls,
        waitSeconds,
        patienceMs: patienceSeconds * 1000,
        signal: stop.signal,
      });
      progress.end();
      console.log(`Done: ${done.newKid} signs. ${done.oldKid} verifies for another 24 hours.`);
      console.log('Afterwards remove it with: node scripts/keys/s2s.ts retire');
      return EXIT.ok;
    } finally {
      process.off('SIGINT', onSignal).off('SIGTERM', onSignal);
    }
  });
}

async function list(keys: KeyRotationService, { values }: Parsed): Promise<ExitCode> {
  const entries = await keys.list();
  if (values.json) {
    console.log(JSON.stringify(entries.map(entryJson), null, 2));
    return EXIT.ok;
  }
  if (entries.length === 0) {
    console.log('No signing keys. Make the first with: node scripts/keys/s2s.ts bootstrap');
    return EXIT.ok;
  }
  const rows = entries.map((entry) => [
    entry.kid,
    entry.status,
    entry.isStored ? 'yes' : 'no',
    entry.createdAt === undefined ? 'not published' : minute(entry.createdAt),
    entry.expiresAt === undefined ? '-' : minute(entry.expiresAt),
  ]);
  console.log(table([['kid', 'status', 'private file', 'published', 'expires'], ...rows]));
  for (const line of advice(entries, Date.now())) console.log(line);
  return EXIT.ok;
}

function entryJson(entry: KeyInventoryEntry): Record<string, unknown> {
  return {
    kid: entry.kid,
    status: entry.status,
    is_stored: entry.isStored,
    created_at: entry.createdAt?.toISOString() ?? null,
    expires_at: entry.expiresAt?.toISOString() ?? null,
  };
}

function advice(entries: readonly KeyInventoryEntry[], nowMs: number): string[] {
  const active = entries.find((entry) => entry.status === 'active');
  const rotateBy = nowMs + ROTATE_BEFORE_EXPIRY_SECONDS * 1000;
  return [
    ...(active === undefined ? ['No key can sign accepted tokens. Run bootstrap.'] : []),
    ...(active?.expiresAt !== undefined && active.expiresAt.getTime() < rotateBy
      ? ['The active key expires soon. Run rotate.']
      : []),
    ...(entries.some((entry) => entry.status === 'pending')
      ? ['A rotation was interrupted. Run rotate to go on, or retire --kid … --now to give it up.']
      : []),
    ...(entries.some((entry) => entry.status === 'expired')
      ? ['Expired keys are still here. Run retire.']
      : []),
  ];
}

function retire({ values }: Parsed): Promise<ExitCode> {
  const { kid, now } = values;
  if ((kid === undefined) === now) throw new UsageError('--kid and --now go together');
  if (kid !== undefined && !isKid(kid)) throw new UsageError('--kid takes the id of a key');
  return withKeys(async (keys, progress) => {
    if (kid === undefined) {
      const removed = await keys.retire();
      progress.end();
      if (removed.length === 0) console.log('Nothing is due.');
    } else {
      await keys.retireNow(kid);
      progress.end();
      console.log(`${kid} is out of use; the last verifier forgets it within 5 minutes.`);
    }
    return EXIT.ok;
  });
}

async function withKeys(
  work: (keys: KeyRotationService, progress: ProgressPrinter) => Promise<ExitCode>,
): Promise<ExitCode> {
  const dir = requiredEnv('S2S_KEY_STORE_DIR', 'the directory of the private signing keys');
  const progress = createProgressPrinter(process.stdout);
  try {
    return await withDatabase('publishes the public halves; role migrator', (pool) => {
      const keys = new KeyRotationService({
        pool,
        keyStore: new FileKeyStore(dir),
        now: () => new Date(),
        sleep: (ms, signal) => pause(ms, undefined, { signal }).catch(rethrowReason(signal)),
        report: (step) => progress.print(step),
      });
      return work(keys, progress);
    });
  } catch (error) {
    progress.end();
    if (error instanceof RotationError) {
      const [what = error.message, ...then] = describeStop(error);
      throw new PlainError(what, then, { cause: error });
    }
    if (error instanceof KeyStoreError) {
      throw new PlainError(`${error.message}.`, storeAdvice(error), { cause: error });
    }
    throw error;
  }
}

function storeAdvice(error: KeyStoreError): string[] {
  if (error.fault !== 'malformed' && error.fault !== 'mismatch') return [];
  return ['Restore the file; or move it away and run bootstrap, which makes a new key.'];
}

/** An aborted pause rejects with a reason of its own; the signal's says who aborted. */
function rethrowReason(signal: AbortSignal): (error: unknown) => never {
  return (error) => {
    signal.throwIfAborted();
    throw error;
  };
}

/** An http(s) URL without credentials; a bare origin gets `defaultPath`. */
function httpUrl(flag: string, text: string, defaultPath: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const isHttp = url?.protocol === 'http:' || url?.protocol === 'https:';
  if (url === undefined || !isHttp || url.username !== '' || url.password !== '') {
    throw new UsageError(`--${flag} takes an http or https URL`);
  }
  if (url.pathname === '/') url.pathname = defaultPath;
  return url.href;
}

await runCommand(USAGE, () => main(process.argv.slice(2)));

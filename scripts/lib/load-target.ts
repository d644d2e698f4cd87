import { join } from 'node:path';
import { locateFolders, url, type Folders } from '../up/stack.ts';
import { readPorts } from '../up/state.ts';
import { baseEnv, optionalEnv, optionalSecretEnv } from './env.ts';
import { readIfExists, writeWhole } from './files.ts';
import { PlainError } from './plain-error.ts';
import { lastLines, run } from './run.ts';

export interface LoadTarget {
  readonly baseUrl: string;
  readonly apiKey: string;
}

const KEY = /lf_(?:live|test)_[a-z2-7]{12}_[0-9A-Za-z]{32}/;
/** Wide enough that the load meets the platform and not the key's own limits. */
const LIMITS = ['--rpm', '100000', '--tpd', '1000000000'] as const;

/**
 * What to put load on: LOAD_URL with LOAD_API_KEY, or what `make up` started, with a key of its own
 * that is made once and kept in `.arrakis/load-key`.
 *
 * @throws PlainError when there is nothing to load. The local key is never sent elsewhere.
 */
export async function findLoadTarget(): Promise<LoadTarget> {
  const apiKey = optionalSecretEnv('LOAD_API_KEY');
  const baseUrl = optionalEnv('LOAD_URL');
  if (baseUrl !== undefined) {
    if (apiKey !== undefined) return { baseUrl, apiKey };
    throw new PlainError('LOAD_URL needs LOAD_API_KEY or LOAD_API_KEY_FILE.');
  }
  const folders = locateFolders();
  const ports = readPorts(folders);
  if (ports === undefined) {
    throw new PlainError('Nothing to load: nothing was started here.', [
      'Run make up first, or name another platform: LOAD_URL=… LOAD_API_KEY_FILE=…',
    ]);
  }
  const local = url(ports.freeside);
  return { baseUrl: local, apiKey: apiKey ?? (await ensureLocalKey(folders, local)) };
}

async function ensureLocalKey(folders: Folders, baseUrl: string): Promise<string> {
  const file = join(folders.state, 'load-key');
  const kept = KEY.exec(readIfExists(file) ?? '')?.[0];
  if (kept !== undefined && (await isKnown(baseUrl, kept))) return kept;
  const create = ['create', '--community', 'demo', '--user', 'Demo Developer', '--json'];
  const { code, output } = await run(
    process.execPath,
    [join(folders.root, 'scripts/up/main.ts'), 'keys', 'api-key', ...create, ...LIMITS],
    { env: baseEnv(), cwd: folders.root },
  );
  const key = KEY.exec(output)?.[0];
  if (code !== 0 || key === undefined) {
    throw new PlainError(`No API key for the load could be made: ${lastLines(output, 2)}`);
  }
  writeWhole(file, `${key}\n`);
  return key;
}

async function isKnown(baseUrl: string, key: string): Promise<boolean> {
  try {
    const response = await fetch(`${baseUrl}/v1/models`, {
      headers: { authorization: `Bearer ${key}` },
      signal: AbortSignal.timeout(10_000),
    });
    await response.body?.cancel();
    return response.status === 200;
  } catch {
    throw new PlainError(`Nobody answers at ${baseUrl}.`, ['Is it running? make status tells.']);
  }
}

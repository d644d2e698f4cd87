import { join } from 'node:path';
import { DATABASE } from '../../lib/database.ts';
import { PlainError } from '../../lib/plain-error.ts';
import { databaseUrl } from '../service-specs.ts';
import { HOST, url, type Folders } from '../stack.ts';
import { readPorts, runningProcess } from '../state.ts';
import { ensureSecrets } from '../steps/secrets.ts';
import { runAttached } from './keys.ts';

/** Scripts of an operator, and of a newcomer, with what they need to find what `make up` started. */
const TOOLS: Readonly<Record<string, (folders: Folders) => Promise<Record<string, string>>>> = {
  payments: databaseEnv,
  audit: databaseEnv,
  'demo-purchase': buyerEnv,
};

/** Runs a script of `scripts/` against what `make up` started; returns its exit code. */
export async function tools(
  folders: Folders,
  name: string | undefined,
  args: readonly string[],
): Promise<number> {
  const envOf = Object.hasOwn(TOOLS, name ?? '') ? TOOLS[name ?? ''] : undefined;
  if (envOf === undefined) {
    throw new PlainError(`usage: main.ts tool ${Object.keys(TOOLS).join(' | ')} …`);
  }
  // An export is checked where there is no database, and help is there for who has started nothing.
  const isAlone = args.length === 0 || ['verify', 'help', '--help', '-h'].includes(args[0] ?? '');
  const env = name !== 'demo-purchase' && isAlone ? {} : await envOf(folders);
  return runAttached(join(folders.root, 'scripts', `${String(name)}.ts`), args, env);
}

/** As the role that the services have: it may do what they do, and nothing else. */
async function databaseEnv(folders: Folders): Promise<Record<string, string>> {
  const ports = readPorts(folders);
  if (ports === undefined || (await runningProcess(folders, 'postgres')) === undefined) {
    throw new PlainError('The database is not running.', ['Start it with: make up']);
  }
  const { freesidePassword } = ensureSecrets(folders).value;
  const database = `${HOST}:${String(ports.postgres)}/${DATABASE}`;
  return { DATABASE_URL: databaseUrl('freeside_app', freesidePassword, { database }) };
}

async function buyerEnv(folders: Folders): Promise<Record<string, string>> {
  const ports = readPorts(folders);
  if (ports === undefined || (await runningProcess(folders, 'freeside-api')) === undefined) {
    throw new PlainError('Nothing runs here to buy from.', ['Start it with: make up']);
  }
  if ((await runningProcess(folders, 'fake-nowpayments')) === undefined) {
    throw new PlainError('The fake vendor does not run, and no other is paid by a script.', [
      'Start it with: make up, without NOWPAYMENTS_* in the environment',
    ]);
  }
  return {
    FREESIDE_URL: url(ports.freeside),
    API_KEY_FILE: join(folders.state, 'demo-key'),
    ARRAKIS_MAKE: '1',
  };
}

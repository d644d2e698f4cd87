import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { DATABASE } from '../../lib/database.ts';
import { baseEnv } from '../../lib/env.ts';
import { readIfExists } from '../../lib/files.ts';
import { PlainError } from '../../lib/plain-error.ts';
import { databaseUrl } from '../service-specs.ts';
import { HOST, type Folders, type Ports } from '../stack.ts';
import { readPorts, runningProcess } from '../state.ts';
import { ensureSecrets, secretsFile } from '../steps/secrets.ts';

/** Runs a script of `scripts/keys`, or the flags', against what `make up` started; returns its exit code. */
export async function keys(
  folders: Folders,
  script: string | undefined,
  args: readonly string[],
): Promise<number> {
  if (script === 'flags') return flags(folders, args);
  if (script !== 'api-key' && script !== 's2s') {
    throw new PlainError('usage: main.ts keys api-key | s2s | flags …');
  }
  const ports = readPorts(folders);
  const postgres = await runningProcess(folders, 'postgres');
  if (ports === undefined || postgres === undefined || !existsSync(secretsFile(folders))) {
    throw new PlainError('The database is not running.', ['Start it with: make up']);
  }
  const secrets = ensureSecrets(folders).value;
  const database = `${HOST}:${String(ports.postgres)}/${DATABASE}`;
  const url =
    script === 's2s'
      ? databaseUrl('migrator', secrets.migratorPassword, { database })
      : databaseUrl('freeside_app', secrets.freesidePassword, { database });
  return runAttached(join(folders.root, 'scripts', 'keys', `${script}.ts`), args, {
    DATABASE_URL: url,
    API_KEY_PEPPER: secrets.apiKeyPepper,
    S2S_KEY_STORE_DIR: folders.keys,
    // A key isn't made while that is switched off.
    NATS_URL: localNatsUrl(folders, ports),
  });
}

async function flags(folders: Folders, args: readonly string[]): Promise<number> {
  const ports = readPorts(folders);
  if (ports === undefined || (await runningProcess(folders, 'nats')) === undefined) {
    throw new PlainError('NATS is not running.', ['Start it with: make up']);
  }
  return runAttached(join(folders.root, 'scripts', 'flags.ts'), args, {
    NATS_URL: localNatsUrl(folders, ports),
  });
}

/** Of the server that `startNats` keeps in that folder, whether or not it runs. */
function localNatsUrl(folders: Folders, ports: Ports): string {
  const password = readIfExists(join(folders.data, 'nats', 'password'))?.trim() ?? '';
  return `nats://arrakis:${password}@${HOST}:${String(ports.nats)}`;
}

/** A script that talks to the terminal itself. */
export function runAttached(
  file: string,
  args: readonly string[],
  env: Readonly<Record<string, string>>,
): Promise<number> {
  const child = spawn(process.execPath, [file, ...args], { stdio: 'inherit', env: baseEnv(env) });
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (code) => {
      resolve(code ?? 1);
    });
  });
}

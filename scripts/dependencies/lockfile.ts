import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';

const ROOT = resolve(import.meta.dirname, '../..');

/** One place in the tree of installed packages, as npm's lockfile (version 3) has it. */
export interface LockEntry {
  readonly name?: string;
  readonly version?: string;
  readonly resolved?: string;
  readonly integrity?: string;
  readonly license?: string;
  readonly link?: boolean;
  readonly dev?: boolean;
  readonly optional?: boolean;
  readonly hasInstallScript?: boolean;
  readonly os?: readonly string[];
  readonly cpu?: readonly string[];
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
  readonly peerDependencies?: Readonly<Record<string, string>>;
}

export interface Lockfile {
  readonly lockfileVersion: number;
  /** By path; `''` is the repository itself. */
  readonly packages: Readonly<Record<string, LockEntry>>;
}

export interface Manifest {
  readonly name: string;
  readonly version?: string;
  readonly workspaces?: readonly string[];
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly devDependencies?: Readonly<Record<string, string>>;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
  readonly overrides?: Readonly<Record<string, unknown>>;
  readonly allowScripts?: Readonly<Record<string, boolean>>;
}

export interface Repository {
  readonly lockfile: Lockfile;
  /** By path of the folder; `''` is the repository itself. */
  readonly manifests: Readonly<Record<string, Manifest>>;
}

export function readRepository(root = ROOT): Repository {
  const read = (path: string): unknown => JSON.parse(readFileSync(join(root, path), 'utf8'));
  const lockfile = read('package-lock.json') as Lockfile;
  // The workspaces that the lockfile knows: its own links lead to them.
  const folders = Object.values(lockfile.packages)
    .filter(({ link }) => link === true)
    .map(({ resolved }) => resolved ?? '');
  const manifests = Object.fromEntries(
    ['', ...folders].map((folder) => [folder, read(join(folder, 'package.json')) as Manifest]),
  );
  return { lockfile, manifests };
}

/** The package that lies at a path of the lockfile. */
export function nameAt(path: string, entry: LockEntry): string {
  return entry.name ?? path.slice(path.lastIndexOf('node_modules/') + 'node_modules/'.length);
}

/** Entries that come from a registry: neither the repository nor its workspaces. */
export function foreignEntries(lockfile: Lockfile): [string, LockEntry][] {
  return Object.entries(lockfile.packages).filter(
    ([path, { link }]) => path.includes('node_modules/') && link !== true,
  );
}

/**
 * Paths of all that is installed for these folders without development dependencies: found as Node
 * finds a package, in the nearest `node_modules` upwards.
 */
export function shippedPaths(lockfile: Lockfile, folders: readonly string[]): Set<string> {
  const found = new Set<string>();
  const queue = [...folders];
  for (let path = queue.pop(); path !== undefined; path = queue.pop()) {
    const entry = lockfile.packages[path] ?? {};
    const wanted = {
      ...entry.dependencies,
      ...entry.optionalDependencies,
      ...entry.peerDependencies,
    };
    for (const name of Object.keys(wanted)) {
      const at = locate(lockfile, path, name);
      // An optional peer that only our tests have.
      const isForTests = at !== undefined && lockfile.packages[at]?.dev === true;
      if (at === undefined || isForTests || found.has(at)) continue;
      found.add(at);
      queue.push(at);
    }
  }
  return found;
}

function locate(lockfile: Lockfile, from: string, name: string): string | undefined {
  for (let base = from; ; base = base.slice(0, Math.max(0, base.lastIndexOf('/')))) {
    const candidate = `${base === '' ? '' : `${base}/`}node_modules/${name}`;
    const entry = lockfile.packages[candidate];
    if (entry !== undefined) return entry.link === true ? entry.resolved : candidate;
    if (base === '') return undefined;
  }
}

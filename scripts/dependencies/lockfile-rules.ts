import {
  foreignEntries,
  nameAt,
  type LockEntry,
  type Manifest,
  type Repository,
} from './lockfile.ts';
import type { DependencyPolicy } from './policy.ts';

/** Something that breaks a rule, in a sentence that names the package. */
export type Fault = string;

const EXACT = /^(?:npm:(?:@[\w.-]+\/)?[\w.-]+@)?\d+\.\d+\.\d+(?:-[\w.-]+)?$/;
const INTEGRITY = /^sha512-[A-Za-z0-9+/]{86}==$/;
const REGISTRY_TARBALL =
  /^https:\/\/registry\.npmjs\.org\/(?:@[\w.-]+\/)?[\w.-]+\/-\/[\w.-]+\.tgz$/;
/** Where we run and develop; scripts of packages for other platforms are never run. */
const PLATFORMS = { os: ['linux', 'darwin'], cpu: ['x64', 'arm64'] } as const;

/** @param today `YYYY-MM-DD`, for exceptions that expire */
export function lockfileFaults(
  repository: Repository,
  policy: DependencyPolicy,
  today: string,
): Fault[] {
  return [
    ...versionFaults(repository),
    ...sourceFaults(repository, policy, today),
    ...scriptFaults(repository, policy),
    ...licenceFaults(repository, policy),
    ...duplicateFaults(repository, policy),
  ];
}

/** What is asked for is one version each, and the lockfile holds what the manifests ask for. */
function versionFaults({ lockfile, manifests }: Repository): Fault[] {
  const faults = Object.entries(manifests).flatMap(([folder, manifest]) => {
    const file = folder === '' ? 'package.json' : `${folder}/package.json`;
    const locked = lockfile.packages[folder]?.dependencies ?? {};
    return [
      ...Object.entries(askedBy(manifest))
        .filter(([, range]) => !EXACT.test(range))
        .map(([name, range]) => `${file}: ${name} is asked for as "${range}", not pinned`),
      ...Object.entries(manifest.dependencies ?? {})
        .filter(([name, version]) => locked[name] !== version)
        .map(([name, version]) => `${file}: ${name}@${version} is not what package-lock.json has`),
    ];
  });
  return lockfile.lockfileVersion === 3
    ? faults
    : ['package-lock.json is not of version 3', ...faults];
}

function askedBy(manifest: Manifest): Record<string, string> {
  return {
    ...manifest.dependencies,
    ...manifest.devDependencies,
    ...manifest.optionalDependencies,
    ...flatOverrides(manifest.overrides),
  };
}

function flatOverrides(overrides: Readonly<Record<string, unknown>> = {}): Record<string, string> {
  const flat: Record<string, string> = {};
  for (const [name, value] of Object.entries(overrides)) {
    if (typeof value === 'string') flat[name] = value;
    else Object.assign(flat, flatOverrides(value as Readonly<Record<string, unknown>>));
  }
  return flat;
}

/** Everything comes from the registry, with the hash of what was seen when it was locked. */
function sourceFaults({ lockfile }: Repository, policy: DependencyPolicy, today: string): Fault[] {
  const faults: Fault[] = [];
  const used = new Set<string>();
  for (const [path, entry] of foreignEntries(lockfile)) {
    const name = nameAt(path, entry);
    const { resolved } = entry;
    if (resolved !== undefined && !REGISTRY_TARBALL.test(resolved)) {
      faults.push(`${name} does not come from the registry: ${scheme(resolved)}`);
    }
    if (INTEGRITY.test(entry.integrity ?? '')) continue;
    const exception = policy.withoutIntegrity.find(({ packages }) => packages.includes(name));
    if (exception === undefined) faults.push(`${name} has no sha512 integrity`);
    else if (exception.until < today) {
      faults.push(`${name} still has no integrity, and its exception ended on ${exception.until}`);
    }
    used.add(name);
  }
  for (const name of policy.withoutIntegrity.flatMap(({ packages }) => packages)) {
    if (!used.has(name)) faults.push(`${name} needs no exception from integrity any more`);
  }
  return faults;
}

/** Enough of an address to see what it is; it may hold a token. */
function scheme(resolved: string): string {
  return URL.canParse(resolved) ? new URL(resolved).protocol : 'no URL';
}

/** A script runs at installation only where `allowScripts` says so; each one is decided there. */
function scriptFaults({ lockfile, manifests }: Repository, policy: DependencyPolicy): Fault[] {
  const allowed = manifests['']?.allowScripts ?? {};
  const foreseen = policy.foreseenScripts.flatMap(({ packages }) => packages);
  const withScripts = foreignEntries(lockfile).filter(
    ([, entry]) => entry.hasInstallScript === true && runsHere(entry),
  );
  const names = new Set(withScripts.map(([path, entry]) => nameAt(path, entry)));
  const faults = [...names]
    .filter((name) => !Object.hasOwn(allowed, name))
    .map((name) => `${name} has an install script that allowScripts doesn't decide on`);
  for (const name of Object.keys(allowed)) {
    if (names.has(name) || foreseen.includes(name)) continue;
    faults.push(`allowScripts names ${name}, which has no install script here`);
  }
  return faults;
}

function runsHere({ os, cpu }: LockEntry): boolean {
  const fits = (list: readonly string[] | undefined, ours: readonly string[]): boolean =>
    list === undefined || list.some((one) => ours.includes(one));
  return fits(os, PLATFORMS.os) && fits(cpu, PLATFORMS.cpu);
}

function licenceFaults({ lockfile }: Repository, policy: DependencyPolicy): Fault[] {
  return foreignEntries(lockfile).flatMap(([path, entry]) => {
    const name = nameAt(path, entry);
    const licence = entry.license ?? 'none given';
    if (isAllowed(licence, policy.licences)) return [];
    const isExcepted = policy.licenceExceptions.some(
      (exception) => exception.licence === licence && covers(exception.packages, name),
    );
    return isExcepted ? [] : [`${name} has the licence ${licence}, which is not on the list`];
  });
}

/** `A OR B` needs one of them, `A AND B` both; no other SPDX syntax is understood. */
function isAllowed(expression: string, licences: readonly string[]): boolean {
  const bare = expression.replace(/^\((.*)\)$/, '$1');
  if (bare.includes(' OR ')) return bare.split(' OR ').some((one) => licences.includes(one));
  return bare.split(' AND ').every((one) => licences.includes(one));
}

function covers(patterns: readonly string[], name: string): boolean {
  return patterns.some((pattern) =>
    pattern.endsWith('*') ? name.startsWith(pattern.slice(0, -1)) : pattern === name,
  );
}

/** Two majors of one package in what ships: two sets of bugs, and `instanceof` that fails. */
function duplicateFaults({ lockfile }: Repository, policy: DependencyPolicy): Fault[] {
  const majors = new Map<string, Set<string>>();
  for (const [path, entry] of foreignEntries(lockfile)) {
    if (entry.dev === true) continue;
    const name = nameAt(path, entry);
    const [major = ''] = (entry.version ?? '').split('.', 1);
    majors.set(name, (majors.get(name) ?? new Set()).add(major));
  }
  const explained = policy.severalMajors.flatMap(({ packages }) => packages);
  const several = [...majors].filter(([, set]) => set.size > 1);
  const unexplained = several
    .filter(([name]) => !explained.includes(name))
    .map(([name, set]) => `${name} is there in the majors ${[...set].sort().join(', ')}`);
  const severalNames = new Set(several.map(([name]) => name));
  const stale = explained
    .filter((name) => !severalNames.has(name))
    .map((name) => `${name} is there in one major only: its exception can go`);
  return [...unexplained, ...stale];
}

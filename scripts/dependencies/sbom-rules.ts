import { nameAt, shippedPaths, type LockEntry, type Lockfile } from './lockfile.ts';
import type { DependencyPolicy } from './policy.ts';

/** The parts of a CycloneDX document that are read here. */
export interface Sbom {
  readonly bomFormat: string;
  readonly specVersion: string;
  readonly components: readonly Component[];
  readonly dependencies: readonly { readonly ref: string; readonly dependsOn: readonly string[] }[];
}

interface Component {
  readonly 'bom-ref': string;
  readonly purl?: string;
  readonly licenses?: readonly unknown[];
  readonly hashes?: readonly { readonly alg?: string; readonly content?: string }[];
}

type ShippedPackage = LockEntry & { readonly name: string };

/** @throws Error unless it has the form of a CycloneDX document. */
export function parseSbom(text: string): Sbom {
  const document = JSON.parse(text) as Partial<Sbom> | null;
  const isCycloneDx = document?.bomFormat === 'CycloneDX';
  if (!isCycloneDx || !/^1\.\d$/.test(String(document.specVersion))) {
    throw new Error('it is not a CycloneDX document');
  }
  if (!Array.isArray(document.components) || !Array.isArray(document.dependencies)) {
    throw new Error('it lists no components or no dependencies');
  }
  return document as Sbom;
}

/** What is installed for the folders without development dependencies, by purl; they included. */
export function shippedPackages(
  lockfile: Lockfile,
  folders: readonly string[],
): Map<string, ShippedPackage> {
  const paths = [...shippedPaths(lockfile, folders), ...folders];
  return new Map(
    paths.map((path) => {
      const entry = lockfile.packages[path] ?? {};
      const name = nameAt(path, entry);
      const purl = `pkg:npm/${name.replace('@', '%40')}@${entry.version ?? ''}`;
      return [purl, { ...entry, name }];
    }),
  );
}

/** The same document with those components only, and what they depend on of each other. */
export function narrowed(sbom: Sbom, shipped: ReadonlyMap<string, unknown>): Sbom {
  const components = sbom.components.filter(({ purl = '' }) => shipped.has(purl));
  const references = new Set(components.map((component) => component['bom-ref']));
  const dependencies = sbom.dependencies
    .filter(({ ref }) => references.has(ref))
    .map(({ ref, dependsOn }) => ({
      ref,
      dependsOn: dependsOn.filter((to) => references.has(to)),
    }));
  return { ...sbom, components, dependencies };
}

/** What is missing or wrong: every package needs its purl, licence and the lockfile's hash. */
export function sbomFaults(
  sbom: Sbom,
  shipped: ReadonlyMap<string, ShippedPackage>,
  policy: DependencyPolicy,
): string[] {
  const components = new Map(sbom.components.map((one) => [one.purl ?? '', one]));
  const faults = [...shipped].flatMap(([purl, entry]) => {
    const component = components.get(purl);
    if (component === undefined) return [`${purl} is missing`];
    return componentFaults(purl, component, entry, policy);
  });
  for (const purl of components.keys()) {
    if (!shipped.has(purl)) faults.push(`${purl} is listed and not shipped`);
  }
  if (components.size !== sbom.components.length) faults.push('a component is listed twice');
  if (sbom.dependencies.length !== components.size) faults.push('dependencies are incomplete');
  return faults;
}

function componentFaults(
  purl: string,
  component: Component,
  entry: ShippedPackage,
  policy: DependencyPolicy,
): string[] {
  const faults = (component.licenses ?? []).length === 0 ? [`${purl} has no licence`] : [];
  const isOurs = entry.name.startsWith('@arrakis/');
  const isExcepted = policy.withoutIntegrity.some(({ packages }) => packages.includes(entry.name));
  if (isOurs || isExcepted) return faults;
  const integrity = Buffer.from((entry.integrity ?? '').replace(/^sha512-/, ''), 'base64');
  const hash = component.hashes?.find(({ alg }) => alg === 'SHA-512')?.content;
  const isRight = integrity.length > 0 && hash === integrity.toString('hex');
  return isRight ? faults : [...faults, `${purl} has not the hash of the lockfile`];
}

import { createHash, type Hash } from 'node:crypto';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { ServiceSpec } from './service-specs.ts';
import type { Folders } from './stack.ts';

/**
 * Stands for everything that a service was started with: its settings, the files that it reads at
 * the start, its code and its packages. When it changes, the running process is out of date.
 */
export function fingerprintOf(folders: Folders, spec: ServiceSpec): string {
  const hash = createHash('sha256');
  hash.update(JSON.stringify([spec.entry, spec.args, Object.entries(spec.settings).sort(byName)]));
  for (const file of spec.reads) hash.update(readFileSync(file));
  hash.update(readFileSync(join(folders.root, 'package-lock.json')));
  for (const folder of spec.sources) addSources(hash, join(folders.root, folder));
  return hash.digest('hex');
}

function byName(a: readonly [string, string], b: readonly [string, string]): number {
  return a[0] < b[0] ? -1 : 1;
}

/** Names, sizes and times are enough to notice an edit, and cost no reading. */
function addSources(hash: Hash, folder: string): void {
  const entries = readdirSync(folder, { recursive: true, encoding: 'utf8' }).sort();
  for (const entry of entries) {
    if (!entry.endsWith('.ts') || entry.endsWith('.test.ts') || isIgnored(entry)) continue;
    const { size, mtimeMs } = statSync(join(folder, entry));
    hash.update(`${entry} ${String(size)} ${String(mtimeMs)}\n`);
  }
}

/** `testkit` serves tests and this script; of its folders only what a spec names is run. */
function isIgnored(entry: string): boolean {
  return entry.includes('node_modules') || entry.startsWith('testkit');
}

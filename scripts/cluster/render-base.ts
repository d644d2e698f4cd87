import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { delimiter, join, resolve } from 'node:path';
import { parseAllDocuments, stringify } from 'yaml';
import { optionalEnv } from '../lib/env.ts';
import { runScript, say } from '../lib/entry.ts';
import { PlainError } from '../lib/plain-error.ts';

/**
 * Renders `kustomize/base` from the chart: the chart is the one source of workloads, and whoever
 * applies with kustomize gets the same ones.
 */

const ROOT = resolve(import.meta.dirname, '../..');
const CHART = join(ROOT, 'charts/platform');
const BASE = join(ROOT, 'kustomize/base');
const HEADER = '# Rendered from charts/platform by scripts/cluster/render-base.ts; do not edit.\n';
const USAGE = [
  'usage: render-base.ts write   renders it',
  '       render-base.ts check   fails on drift',
];

interface KubeObject {
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly annotations?: Record<string, string> };
}

await runScript('render-base', () => {
  const [command, ...rest] = process.argv.slice(2);
  if (!['write', 'check'].includes(command ?? '') || rest.length > 0) {
    throw new PlainError('what shall be done?', USAGE);
  }
  const wanted = new Map([
    ['platform.yaml', platform()],
    ['crds.yaml', `${HEADER}${readFileSync(crdFile(), 'utf8')}`],
  ]);
  const stale = [...wanted].filter(([name, text]) => readIfThere(join(BASE, name)) !== text);
  if (command === 'write') {
    for (const [name, text] of stale) writeFileSync(join(BASE, name), text);
    say(stale.length === 0 ? 'nothing to do' : `wrote ${stale.map(([name]) => name).join(', ')}`);
  } else if (stale.length > 0) {
    throw new PlainError(`kustomize/base is not what the chart renders to`, [
      `differs: ${stale.map(([name]) => name).join(', ')}`,
      'run: node scripts/cluster/render-base.ts write',
    ]);
  } else {
    say('kustomize/base is what the chart renders to');
  }
  return Promise.resolve();
});

function platform(): string {
  const done = spawnSync(
    helm(),
    [
      'template',
      'arrakis',
      CHART,
      '--namespace=arrakis',
      '--kube-version=1.34.0',
      '--values',
      join(CHART, 'ci/production-values.yaml'),
    ],
    { encoding: 'utf8', maxBuffer: 64 * 1024 * 1024 },
  );
  if (done.status !== 0) throw new PlainError('helm refuses to render', [done.stderr]);
  const objects = parseAllDocuments(done.stdout)
    .map((document) => document.toJS() as KubeObject | null)
    .filter((object) => object !== null)
    .map(withoutHelm)
    .sort((a, b) => `${a.kind} ${a.metadata.name}`.localeCompare(`${b.kind} ${b.metadata.name}`));
  const documents = objects.map((object) =>
    stringify(object, { lineWidth: 0, aliasDuplicateObjects: false }),
  );
  return `${HEADER}${documents.join('---\n')}`;
}

/** Without what only Helm understands; it has no part in what follows. */
function withoutHelm(object: KubeObject): KubeObject {
  const text = JSON.stringify(object, (key, value: unknown) => {
    if (key === 'app.kubernetes.io/managed-by') return 'kustomize';
    return key.startsWith('helm.sh/') ? undefined : value;
  });
  const copy = JSON.parse(text) as KubeObject;
  const { annotations, ...metadata } = copy.metadata;
  if (annotations === undefined || Object.keys(annotations).length > 0) return copy;
  return { ...copy, metadata };
}

function crdFile(): string {
  return join(CHART, 'charts/crds/crds/signingkeys.yaml');
}

function readIfThere(path: string): string | undefined {
  return existsSync(path) ? readFileSync(path, 'utf8') : undefined;
}

function helm(): string {
  const lab = join(optionalEnv('LAB_DIR') ?? join(homedir(), '.cache/lab'), 'bin');
  const folders = [...(optionalEnv('PATH') ?? '').split(delimiter), lab];
  const found = folders.map((folder) => join(folder, 'helm')).find((path) => existsSync(path));
  if (found === undefined) {
    throw new PlainError('helm is not installed', ['go install helm.sh/helm/v3/cmd/helm@v3.22.0']);
  }
  return found;
}

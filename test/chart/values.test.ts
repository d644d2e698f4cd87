import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { renderRaw } from './support/render.ts';
import { CHART, findTool } from './support/tools.ts';

const helm = findTool('helm');
const text = readFileSync(join(CHART, 'values.yaml'), 'utf8');
type Tree = Readonly<Record<string, unknown>>;
const values = parse(text) as Tree;

interface Schema {
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly additionalProperties?: unknown;
  readonly description?: string;
}
const schema = JSON.parse(readFileSync(join(CHART, 'values.schema.json'), 'utf8')) as Schema;

const COMPONENTS = [
  'freesideApi',
  'freesideWorker',
  'finn',
  'controller',
  'pgbouncer',
  'postgresql',
  'redis',
  'nats',
];
/** In this order; `enabled` and `hpa` are only where they make sense. */
const COMMON = [
  'enabled',
  'image',
  'replicas',
  'resources',
  'podAnnotations',
  'podLabels',
  'nodeSelector',
  'tolerations',
  'affinity',
  'topologySpreadConstraints',
  'priorityClassName',
  'pdb',
  'hpa',
  'probes',
  'extraEnv',
];
const OPTIONAL = ['enabled', 'hpa'];
/** Those that an operator starts have one pod, once, and nobody probes it. */
const ON_DEMAND = ['gonogo', 'load'];
const NOT_ON_DEMAND = ['replicas', 'topologySpreadConstraints', 'pdb', 'hpa', 'probes'];

describe('values.yaml', () => {
  it.each(COMPONENTS)('has the same keys in the same order for %s', (component) => {
    const keys = Object.keys(values[component] as Tree);
    const common = keys.slice(0, keys.indexOf('extraEnv') + 1);
    const expected = COMMON.filter((key) => !OPTIONAL.includes(key) || common.includes(key));
    expect(common).toEqual(expected);
  });

  it.each(ON_DEMAND)('has them for %s too, as far as they mean anything there', (component) => {
    const keys = Object.keys(values[component] as Tree);
    expect(keys.slice(0, keys.indexOf('extraEnv') + 1)).toEqual(
      COMMON.filter((key) => !NOT_ON_DEMAND.includes(key)),
    );
    expect(keys).toEqual(expect.arrayContaining(['deadlineSeconds', 'apiKeySecret']));
  });

  it('describes every leaf', () => {
    const lines = text.split('\n');
    const bare = lines.filter((line, index) => {
      const isLeaf = /^ *\w+: \S/.test(line) || /^ *\w+:$/.test(line);
      if (!isLeaf || (lines[index - 1] ?? '').trim().startsWith('# -- ')) return false;
      // A key with more keys under it needs no description of its own.
      const next = lines.slice(index + 1).find((other) => other.trim() !== '') ?? '';
      const isParent = /^ *\w+:$/.test(line) && indent(next) > indent(line) && !/^ *- /.test(next);
      return !isParent && !isInsideDescribedLeaf(lines, index);
    });
    expect(bare).toEqual([]);
  });

  it('is described by the schema, key by key, with nothing beside it', () => {
    expect(pathsOf(values)).toEqual(pathsOf(values).filter((path) => find(schema, path)));
    for (const path of objectsOf(schema)) {
      expect.soft(path.schema.additionalProperties, path.name).toBe(false);
    }
  });
});

function indent(line: string): number {
  return line.length - line.trimStart().length;
}

/** Within a described list or map, such as the peers of a network policy. */
function isInsideDescribedLeaf(lines: readonly string[], index: number): boolean {
  let depth = indent(lines[index] ?? '');
  for (let at = index - 1; at >= 0; at--) {
    const line = lines[at] ?? '';
    if (line.trim() === '' || line.trim().startsWith('#') || indent(line) >= depth) continue;
    depth = indent(line);
    if ((lines[at - 1] ?? '').trim().startsWith('# -- ')) return true;
  }
  return false;
}

function pathsOf(tree: Tree, prefix: readonly string[] = []): (readonly string[])[] {
  return Object.entries(tree).flatMap(([key, value]) => {
    const path = [...prefix, key];
    const isMap = typeof value === 'object' && value !== null && !Array.isArray(value);
    return isMap && find(schema, path)?.properties !== undefined
      ? pathsOf(value as Tree, path)
      : [path];
  });
}

function find(root: Schema, path: readonly string[]): Schema | undefined {
  return path.reduce<Schema | undefined>((at, key) => at?.properties?.[key], root);
}

function objectsOf(root: Schema, name = ''): { name: string; schema: Schema }[] {
  if (root.properties === undefined) return [];
  const inner = Object.entries(root.properties).flatMap(([key, value]) =>
    objectsOf(value, `${name}.${key}`),
  );
  return [{ name, schema: root }, ...inner];
}

describe.skipIf(helm === undefined)('the chart refuses', () => {
  it.each([
    ['a key that is none', { 'finn.replica': '2' }, /finn.*\n?.*replica/],
    ['a wrong type', { 'finn.replicas': 'two' }, /\/finn\/replicas/],
    ['too many pods of one database', { 'postgresql.replicas': '2' }, /\/postgresql\/replicas/],
    ['a cluster of two', { 'nats.replicas': '2' }, /\/nats\/replicas/],
    ['the tag latest', { 'image.tag': 'latest' }, /\/image\/tag/],
    ['a digest that is none', { 'image.digest': 'sha256:abc' }, /\/image\/digest/],
    ['an environment that is none', { environment: 'prod' }, /\/environment/],
    ['a duration that is none', { 'signingKeys.freeside.overlap': '1d' }, /\/overlap/],
    ['a CIDR that is none', { 'networkPolicy.backendCidrs[0]': 'db' }, /\/backendCidrs\/0/],
    ['a flag that is neither', { 'flags.FEATURE_API_KEYS_ENABLED': 'maybe' }, /FEATURE_API_KEYS/],
    ['a scenario that is none', { 'load.scenario': 'storm' }, /\/load\/scenario/],
    ['a Prometheus that is no URL', { 'gonogo.config.prometheusUrl': 'x:9090' }, /prometheusUrl/],
    ['answers for nothing', { 'gonogo.config.answers': '0' }, /\/gonogo\/config\/answers/],
    ['definitions that go with the release', { 'crds.keep': 'false' }, /\/crds\/keep/],
    ['a public address with a path', { 'payments.publicUrl': 'https://x.example/y' }, /publicUrl/],
    ['a flag that nobody knows', { 'flags.FEATURE_X': 'true' }, /FEATURE_X/],
  ])('%s, by its name', (_what, settings, message) => {
    const { code, errors } = refuse('kind', settings);
    expect(code).not.toBe(0);
    expect(errors).toMatch(message);
  });

  it.each([
    ['made up Secrets', 'production', { 'secrets.generate': 'true' }, /secrets\.generate/],
    ['no Secret at all', 'production', { 'secrets.app': '' }, /secrets\.app/],
    ['gates without a key', 'production', { 'gonogo.apiKeySecret': '' }, /gonogo\.apiKeySecret/],
    ['load without a key', 'production', { 'load.enabled': 'true' }, /load\.apiKeySecret/],
    ['load without a seed', 'kind', { 'demo.enabled': 'false' }, /load\.apiKeySecret/],
    ['a backend that is nowhere', 'production', { 'external.redis.host': '' }, /external\.redis/],
    ['a hook before its database', 'kind', { 'migrations.hook': 'true' }, /migrations\.hook/],
    [
      'prepared statements over a pool that loses them',
      'kind',
      { 'pgbouncer.config.poolMode': 'transaction' },
      /maxPreparedStatements/,
    ],
    ['a pool that nobody answers for', 'kind', { 'finn.config.pools.cheap': 'null' }, /cheap/],
    [
      'backends elsewhere that nobody may reach',
      'production',
      { 'networkPolicy.backendCidrs': 'null' },
      /backendCidrs/,
    ],
  ])('%s (%s), by its name', (_what, set, settings, message) => {
    const { code, errors } = refuse(set, settings);
    expect(code).not.toBe(0);
    expect(errors).toMatch(message);
  });
});

function refuse(set: string, settings: Readonly<Record<string, string>>) {
  if (helm === undefined) throw new Error('helm is not there');
  return renderRaw(helm, set, settings);
}

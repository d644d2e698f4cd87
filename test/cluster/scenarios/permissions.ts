import { readFile } from 'node:fs/promises';
import { writeWhole } from '../../../scripts/lib/files.ts';
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ROOT, type Platform } from '../lib/platform.ts';
import { must, type Scenario } from '../lib/scenario.ts';

const GOLDEN = fileURLToPath(new URL('../golden/permissions.md', import.meta.url));

interface Rules {
  readonly status: {
    readonly resourceRules: readonly {
      readonly verbs: readonly string[];
      readonly apiGroups?: readonly string[];
      readonly resources?: readonly string[];
      readonly resourceNames?: readonly string[];
    }[];
  };
}

/** What every service account may do, by the API server's own word. */
export const permissions: Scenario = {
  name: 'permissions',
  title: 'What the service accounts may do',
  run: async ({ platform, show, say }) => {
    const table = await permissionTable(platform);
    say(`\n${table}`);
    await show('as test/cluster/golden/permissions.md says, verb by verb', async () => {
      const golden = await readFile(GOLDEN, 'utf8');
      if (table !== golden) {
        const actual = resolve(ROOT, '.arrakis/permissions.md');
        writeWhole(actual, table);
        const stray = difference(table, golden).map((line) => `now:    ${line}`);
        const missing = difference(golden, table).map((line) => `golden: ${line}`);
        throw new Error([...stray, ...missing, `The whole table: ${actual}`].join('\n'));
      }
      return `${table.trim().split('\n').length - 4} rows`;
    });
    await show('pods without a token have none, those with one need it', async () => {
      const pods = await platform.kube.list<{
        metadata: { name: string; labels?: Record<string, string> };
        spec: { automountServiceAccountToken?: boolean };
      }>('pods');
      const withToken = pods
        .filter(({ spec }) => spec.automountServiceAccountToken !== false)
        .map(({ metadata }) => metadata.labels?.['app.kubernetes.io/component'] ?? metadata.name);
      const stray = withToken.filter((component) => !['controller', 'gonogo'].includes(component));
      must(stray.length === 0, `a token that nobody needs: ${stray.join(', ')}`);
      return `a token in ${[...new Set(withToken)].join(', ')} only, of ${pods.length} pods`;
    });
  },
};

function difference(text: string, other: string): string[] {
  const others = new Set(other.split('\n'));
  return text.split('\n').filter((line) => !others.has(line));
}

async function permissionTable(platform: Platform): Promise<string> {
  const accounts = await platform.kube.list<{ metadata: { name: string } }>('serviceaccounts');
  // What everybody may who is somebody: reviews of one's own rights.
  const everybodys = new Set(await rightsOf(platform, 'no-such-account'));
  const rows: string[] = [];
  for (const { metadata } of accounts) {
    const rights = await rightsOf(platform, metadata.name);
    const own = rights.filter((right) => !everybodys.has(right));
    rows.push(
      ...(own.length === 0 ? ['nothing | | |'] : own).map((row) => `| ${metadata.name} | ${row}`),
    );
  }
  return [
    '# Permissions of the service accounts, in their own namespace',
    '',
    '| account | resource | names | verbs |',
    '| --- | --- | --- | --- |',
    ...rows.sort(),
    '',
  ].join('\n');
}

/** Rows `resource | names | verbs |`, each of one resource. */
async function rightsOf(platform: Platform, account: string): Promise<string[]> {
  const { namespace } = platform.kube;
  const review = {
    apiVersion: 'authorization.k8s.io/v1',
    kind: 'SelfSubjectRulesReview',
    spec: { namespace },
  };
  const as = `system:serviceaccount:${namespace}:${account}`;
  const groups = [
    'system:serviceaccounts',
    `system:serviceaccounts:${namespace}`,
    'system:authenticated',
  ];
  const said = await platform.kube.kubectl(
    [
      ...['create', '--as', as, ...groups.flatMap((group) => ['--as-group', group])],
      ...['--validate=false', '-f', '-', '-o', 'json'],
    ],
    { input: review },
  );
  const { status } = JSON.parse(said) as Rules;
  return status.resourceRules.flatMap(({ verbs, apiGroups, resources, resourceNames }) =>
    (apiGroups ?? []).flatMap((group) =>
      (resources ?? []).map((resource) => {
        const [plural = '', sub] = resource.split('/');
        const name = `${plural}${group === '' ? '' : `.${group}`}${sub === undefined ? '' : `/${sub}`}`;
        const names = [...(resourceNames ?? [])].sort().join(' ');
        return `${name} | ${names} | ${[...verbs].sort().join(' ')} |`;
      }),
    ),
  );
}

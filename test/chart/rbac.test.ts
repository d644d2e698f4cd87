import { describe, expect, it } from 'vitest';
import { named, render, type KubeObject } from './support/render.ts';
import { findTool } from './support/tools.ts';

const helm = findTool('helm');

interface Binding {
  readonly roleRef: { readonly name: string };
  readonly subjects: readonly object[];
}

/** What each account may do, as one reads it in a table. */
const CONTROLLER = [
  'configmaps: list watch',
  'configmaps platform-flags: get patch',
  'endpointslices.discovery.k8s.io: list watch',
  'events, events.events.k8s.io: create patch',
  'leases.coordination.k8s.io arrakis-controller: get list update',
  'leases.coordination.k8s.io: create',
  'pods: list patch',
  'secrets signing-key-freeside: get patch',
  'secrets: create',
  'signingkeys.keys.arrakis.community/finalizers: update',
  'signingkeys.keys.arrakis.community/status: patch',
  'signingkeys.keys.arrakis.community: get list patch watch',
];

const GONOGO = [
  'controllerrevisions.apps: list',
  'deployments.apps arrakis-freeside-api arrakis-freeside-worker arrakis-controller arrakis-pgbouncer: patch',
  'deployments.apps: list',
  'endpointslices.discovery.k8s.io: list',
  'replicasets.apps: list',
  'statefulsets.apps arrakis-finn arrakis-postgres arrakis-redis arrakis-nats: patch',
  'statefulsets.apps: list',
];

function rightsOf(objects: readonly KubeObject[], role: string): string[] {
  const { rules = [] } = named(objects, 'Role', role);
  const lines = rules.flatMap(({ apiGroups, resources, resourceNames = [], verbs }) =>
    resources.map((resource) => {
      const [plural = '', sub] = resource.split('/');
      const names = apiGroups.map((group) => (group === '' ? plural : `${plural}.${group}`));
      const what = `${names.join(', ')}${sub === undefined ? '' : `/${sub}`}`;
      return `${[what, ...resourceNames].join(' ')}: ${[...verbs].sort().join(' ')}`;
    }),
  );
  return lines.sort();
}

describe.skipIf(helm === undefined)('the rights at the Kubernetes API', () => {
  const objects = helm === undefined ? [] : render(helm, 'kind');

  it.each([
    ['controller', CONTROLLER],
    ['gonogo', GONOGO],
  ])('of %s are these and no others', (account, rights) => {
    expect(rightsOf(objects, `arrakis-${account}`)).toEqual([...rights].sort());
  });

  it('are given to these accounts alone, in their own namespace alone', () => {
    const kinds = objects.map(({ kind }) => kind);
    expect(kinds).not.toContain('ClusterRole');
    expect(kinds).not.toContain('ClusterRoleBinding');
    const bindings = objects.filter(({ kind }) => kind === 'RoleBinding') as unknown as Binding[];
    const given = bindings.map(({ roleRef, subjects }) => [roleRef.name, subjects]);
    expect(given.sort()).toEqual(
      ['arrakis-controller', 'arrakis-gonogo'].map((name) => [
        name,
        [{ kind: 'ServiceAccount', name, namespace: 'arrakis' }],
      ]),
    );
  });

  it('are not there for what is not there', () => {
    if (helm === undefined) return;
    const settings = { 'controller.enabled': 'false', 'gonogo.enabled': 'false' };
    const kinds = render(helm, 'kind', settings).map(({ kind }) => kind);
    expect(kinds).not.toContain('Role');
    expect(kinds).not.toContain('RoleBinding');
  });
});

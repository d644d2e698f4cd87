import { describe, expect, it } from 'vitest';
import { named, render } from './support/render.ts';
import { findTool } from './support/tools.ts';

const helm = findTool('helm');

/** What each account may do, as one reads it in a table. */
const CONTROLLER = [
  'configmaps: list watch',
  'configmaps platform-flags: get patch',
  'endpointslices.discovery.k8s.io: list watch',
  'events, events.events.k8s.io: create patch',
  'leases.coordination.k8s.io arrakis-controller: get list update',
  'leases.coordination.k8s.io: create',
  'secrets signing-key-freeside: get patch',
  'secrets: create',
  'signingkeys.keys.arrakis.community/finalizers: update',
  'signingkeys.keys.arrakis.community/status: patch',
  'signingkeys.keys.arrakis.community: get list patch watch',
];

describe.skipIf(helm === undefined)('the rights at the Kubernetes API', () => {
  const objects = helm === undefined ? [] : render(helm, 'kind');

  it('of the controller are these and no others', () => {
    const { rules = [] } = named(objects, 'Role', 'arrakis-controller');
    const lines = rules.flatMap(({ apiGroups, resources, resourceNames = [], verbs }) =>
      resources.map((resource) => {
        const [plural = '', sub] = resource.split('/');
        const names = apiGroups.map((group) => (group === '' ? plural : `${plural}.${group}`));
        const what = `${names.join(', ')}${sub === undefined ? '' : `/${sub}`}`;
        return `${[what, ...resourceNames].join(' ')}: ${[...verbs].sort().join(' ')}`;
      }),
    );
    expect(lines.sort()).toEqual([...CONTROLLER].sort());
  });

  it('are given to the controller alone, in its own namespace alone', () => {
    const kinds = objects.map(({ kind }) => kind);
    expect(kinds).not.toContain('ClusterRole');
    expect(kinds).not.toContain('ClusterRoleBinding');
    const bindings = objects.filter(({ kind }) => kind === 'RoleBinding');
    expect(bindings.map(({ metadata }) => metadata.name)).toEqual(['arrakis-controller']);
  });

  it('are not there without the controller', () => {
    if (helm === undefined) return;
    const kinds = render(helm, 'kind', { 'controller.enabled': 'false' }).map(({ kind }) => kind);
    expect(kinds).not.toContain('Role');
    expect(kinds).not.toContain('RoleBinding');
  });
});

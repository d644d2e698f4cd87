import { describe, expect, it } from 'vitest';
import {
  render,
  VALUE_SETS,
  workloadsOf,
  type KubeObject,
  type Workload,
} from './support/render.ts';
import { findTool } from './support/tools.ts';

const helm = findTool('helm');

interface Selector {
  readonly matchLabels?: Readonly<Record<string, string>>;
  readonly matchExpressions?: readonly {
    readonly key: string;
    readonly operator: string;
    readonly values: readonly string[];
  }[];
}
interface Peer {
  readonly podSelector?: Selector;
  readonly namespaceSelector?: Selector;
  readonly ipBlock?: { readonly cidr: string; readonly except?: readonly string[] };
}
interface Rule {
  readonly from?: readonly Peer[];
  readonly to?: readonly Peer[];
  readonly ports?: readonly { readonly port: number; readonly endPort?: number }[];
}
interface Policy {
  readonly podSelector: Selector;
  readonly policyTypes: readonly string[];
  readonly ingress?: readonly Rule[];
  readonly egress?: readonly Rule[];
}

function selects(selector: Selector, { labels }: Workload): boolean {
  const byLabel = Object.entries(selector.matchLabels ?? {}).every(
    ([key, value]) => labels[key] === value,
  );
  const byExpression = (selector.matchExpressions ?? []).every(
    ({ key, values }) => labels[key] !== undefined && values.includes(labels[key]),
  );
  return byLabel && byExpression;
}

const policiesOf = (objects: readonly KubeObject[]) =>
  objects
    .filter(({ kind }) => kind === 'NetworkPolicy')
    .map(({ metadata, spec }) => ({ name: metadata.name, policy: spec as unknown as Policy }));

describe.skipIf(helm === undefined).each(Object.keys(VALUE_SETS))(
  'the network policies of %s',
  (valueSet) => {
    const objects = helm === undefined ? [] : render(helm, valueSet);
    const workloads = workloadsOf(objects);
    const policies = policiesOf(objects);

    it('deny everything to and from every pod, to begin with', () => {
      const deny = policies.find(({ name }) => name === 'arrakis-default-deny')?.policy;
      expect(deny?.policyTypes).toEqual(['Ingress', 'Egress']);
      expect(deny).not.toHaveProperty('ingress');
      expect(deny).not.toHaveProperty('egress');
      for (const workload of workloads) {
        expect.soft(selects(deny?.podSelector ?? {}, workload), workload.name).toBe(true);
      }
    });

    it('select pods that exist, at both ends', () => {
      const isThere = (selector: Selector): boolean =>
        workloads.some((workload) => selects(selector, workload));
      for (const { name, policy } of policies) {
        expect.soft(isThere(policy.podSelector), name).toBe(true);
        for (const rule of [...(policy.ingress ?? []), ...(policy.egress ?? [])]) {
          for (const peer of [...(rule.from ?? []), ...(rule.to ?? [])]) {
            if (peer.podSelector === undefined || peer.namespaceSelector !== undefined) continue;
            expect.soft(isThere(peer.podSelector), `${name}, peer`).toBe(true);
          }
        }
      }
    });

    it('name ports that the selected pods have', () => {
      for (const { name, policy } of policies) {
        const open = workloads
          .filter((workload) => selects(policy.podSelector, workload))
          .flatMap(({ pod }) => pod.containers.flatMap(({ ports }) => ports ?? []))
          .map(({ containerPort }) => containerPort);
        for (const { port, endPort = port } of (policy.ingress ?? []).flatMap(
          (rule) => rule.ports ?? [],
        )) {
          const hit = open.some((candidate) => candidate >= port && candidate <= endPort);
          expect.soft(hit, `${name}: ${String(port)}`).toBe(true);
        }
      }
    });

    it('let a flow out wherever they let it in, and the other way round', () => {
      const into = flows(policies, workloads, 'ingress');
      const out = flows(policies, workloads, 'egress');
      expect(into.length).toBeGreaterThan(5);
      expect(into).toEqual(out);
    });

    it('keep finn, the admin ports and the backends from everyone outside', () => {
      for (const { name, policy } of policies) {
        const isOpen = (policy.ingress ?? []).some(({ from }) =>
          (from ?? [{}]).some((peer) => peer.podSelector === undefined),
        );
        if (!isOpen) continue;
        const ports = (policy.ingress ?? []).flatMap((rule) => rule.ports ?? []);
        if (name === 'arrakis-metrics') {
          const peers = (policy.ingress ?? []).flatMap(({ from }) => from ?? []);
          expect(peers.every((peer) => peer.namespaceSelector !== undefined)).toBe(true);
          continue;
        }
        expect(name).toBe('arrakis-public-to-api');
        expect(ports.map(({ port }) => port)).toEqual([3000]);
      }
    });
  },
);

/** `from -> to:port` for every pair of pods of the platform. */
function flows(
  policies: readonly { readonly policy: Policy }[],
  workloads: readonly Workload[],
  direction: 'ingress' | 'egress',
): string[] {
  const found = new Set<string>();
  for (const { policy } of policies) {
    for (const own of workloads.filter((workload) => selects(policy.podSelector, workload))) {
      for (const rule of policy[direction] ?? []) {
        for (const { podSelector, namespaceSelector } of rule.from ?? rule.to ?? []) {
          if (podSelector === undefined || namespaceSelector !== undefined) continue;
          for (const peer of workloads.filter((workload) => selects(podSelector, workload))) {
            const [from, to] = direction === 'ingress' ? [peer, own] : [own, peer];
            for (const { port } of rule.ports ?? []) {
              found.add(`${from.name} -> ${to.name}:${String(port)}`);
            }
          }
        }
      }
    }
  }
  return [...found].sort();
}

describe.skipIf(helm === undefined)('what leads in from outside', () => {
  const routes =
    helm === undefined
      ? []
      : render(helm, 'production', {
          'httpRoute.enabled': 'true',
          'httpRoute.parentRefs[0].name': 'gateway',
          'freesideApi.service.type': 'LoadBalancer',
        });

  it('is the public port of the api alone: by Ingress, by route, by the Service', () => {
    const text = JSON.stringify(
      routes.filter(({ kind }) => kind === 'Ingress' || kind === 'HTTPRoute'),
    );
    expect(text).toContain('"arrakis-freeside-api"');
    expect(text).toContain('HTTPRoute');
    expect(text).not.toMatch(/finn|admin|930\d|metrics/);
    const exposed = routes.filter(
      ({ kind, spec }) => kind === 'Service' && spec?.type !== 'ClusterIP' && !spec?.clusterIP,
    );
    expect(exposed.map(({ metadata, spec }) => [metadata.name, spec?.ports])).toEqual([
      ['arrakis-freeside-api', [{ name: 'http', port: 3000, targetPort: 'http' }]],
    ]);
  });

  it('is nothing at all unless asked for', () => {
    const kinds = (helm === undefined ? [] : render(helm, 'kind')).map(({ kind }) => kind);
    expect(kinds).not.toContain('Ingress');
    expect(kinds).not.toContain('HTTPRoute');
    expect(kinds).not.toContain('ServiceMonitor');
    expect(kinds).not.toContain('HorizontalPodAutoscaler');
  });
});

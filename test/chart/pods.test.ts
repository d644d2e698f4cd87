import { describe, expect, it } from 'vitest';
import { containersOf, render, VALUE_SETS, workloadsOf, type Workload } from './support/render.ts';
import { findTool } from './support/tools.ts';

const helm = findTool('helm');
const IN_MEMORY_ROOT = { medium: 'Memory' };
/** Those that speak to the Kubernetes API. */
const WITH_TOKEN = ['arrakis-controller', 'arrakis-gonogo'];
/** Run before the chart's own accounts exist, or beside them. */
const WITHOUT_ACCOUNT = ['Job', 'Pod'];

describe.skipIf(helm === undefined).each(Object.keys(VALUE_SETS))('the pods of %s', (valueSet) => {
  const objects = helm === undefined ? [] : render(helm, valueSet);
  const workloads = workloadsOf(objects);
  const services = workloads.filter(({ kind }) => kind === 'Deployment' || kind === 'StatefulSet');

  it('are the ones that the platform consists of', () => {
    const names = services.map(({ name }) => name.replace('arrakis-', '')).sort();
    const always = ['controller', 'finn', 'freeside-api', 'freeside-worker', 'pgbouncer'];
    const backends = valueSet === 'production' ? [] : ['nats', 'postgres', 'redis'];
    expect(names).toEqual([...always, ...backends].sort());
  });

  it('fulfil Pod Security restricted', () => {
    for (const { name, pod } of workloads) {
      expect.soft(pod.securityContext, name).toMatchObject({
        runAsNonRoot: true,
        seccompProfile: { type: 'RuntimeDefault' },
      });
      expect.soft(pod.securityContext?.runAsUser, name).toBeGreaterThan(0);
      expect.soft(pod.hostNetwork ?? false, name).toBe(false);
    }
    for (const workload of workloads) {
      for (const container of containersOf(workload)) {
        const where = `${workload.name}/${container.name}`;
        expect.soft(container.securityContext, where).toMatchObject({
          allowPrivilegeEscalation: false,
          readOnlyRootFilesystem: true,
          capabilities: { drop: ['ALL'] },
        });
        expect.soft(container.securityContext?.capabilities?.add, where).toBeUndefined();
        expect.soft(container.securityContext?.privileged ?? false, where).toBe(false);
      }
    }
  });

  it('mount only kinds of volumes that restricted allows, and none of the node', () => {
    const allowed = ['configMap', 'emptyDir', 'secret', 'projected', 'persistentVolumeClaim'];
    for (const { name, pod } of workloads) {
      for (const volume of pod.volumes ?? []) {
        const kinds = Object.keys(volume).filter((key) => key !== 'name');
        expect.soft(allowed, name).toEqual(expect.arrayContaining(kinds));
      }
    }
  });

  it('mount Secrets for their own user and group alone', () => {
    for (const { name, pod } of workloads) {
      for (const { secret } of (pod.volumes ?? []) as { secret?: { defaultMode?: number } }[]) {
        if (secret !== undefined) expect.soft(secret.defaultMode, name).toBe(0o440);
      }
    }
  });

  it('keep what they may write within bounds', () => {
    for (const { name, pod } of workloads) {
      for (const volume of pod.volumes ?? []) {
        const { emptyDir } = volume as { emptyDir?: { medium?: string; sizeLimit?: string } };
        if (emptyDir?.medium !== IN_MEMORY_ROOT.medium) continue;
        expect.soft(emptyDir.sizeLimit, `${name}/${String(volume.name)}`).toBeDefined();
      }
    }
  });

  it('get a token of the Kubernetes API only where one is used', () => {
    const withToken = workloads
      .filter(({ pod }) => pod.automountServiceAccountToken !== false)
      .map(({ name }) => name);
    expect(withToken.sort()).toEqual(WITH_TOKEN);
  });

  it('run under an account of their own, Jobs apart, which may run before any exists', () => {
    const accounts = objects
      .filter(({ kind }) => kind === 'ServiceAccount')
      .map(({ metadata }) => metadata.name);
    for (const { name, kind, pod } of workloads) {
      const expected = WITHOUT_ACCOUNT.includes(kind) ? 'default' : name;
      expect.soft(pod.serviceAccountName, name).toBe(expected);
      if (expected === name) expect.soft(accounts).toContain(name);
    }
  });

  it('ask for resources and are limited in them', () => {
    for (const workload of workloads) {
      for (const { name, resources } of containersOf(workload)) {
        const where = `${workload.name}/${name}`;
        for (const kind of ['cpu', 'memory']) {
          expect.soft(resources?.requests, where).toHaveProperty(kind);
          expect.soft(resources?.limits, where).toHaveProperty(kind);
        }
      }
    }
  });

  it('are probed: start, readiness and life', () => {
    for (const { name, pod } of services) {
      for (const container of pod.containers) {
        for (const probe of ['startupProbe', 'readinessProbe', 'livenessProbe'] as const) {
          expect.soft(container[probe], `${name} ${probe}`).toBeDefined();
        }
      }
    }
  });

  it('name a version of every image', () => {
    for (const workload of workloads) {
      for (const { image } of containersOf(workload)) {
        expect.soft(image).toMatch(/(?:@sha256:[0-9a-f]{64}|:[A-Za-z0-9_][\w.-]*)$/);
        expect.soft(image).not.toMatch(/:latest$/);
        if (valueSet === 'production') expect.soft(image).toContain('@sha256:');
      }
    }
  });

  it('of backends stay as they are when the platform is upgraded', () => {
    if (helm === undefined) return;
    const settings = { 'image.tag': 'next', 'image.digest': '' };
    const after = workloadsOf(render(helm, valueSet, settings));
    for (const name of ['postgres', 'redis', 'nats', 'pgbouncer'].map((x) => `arrakis-${x}`)) {
      const find = (all: readonly Workload[]) => all.find((workload) => workload.name === name);
      expect.soft(find(after), name).toEqual(find(workloads));
    }
  });

  it('give open streams their 120 s when they end', () => {
    for (const name of ['arrakis-freeside-api', 'arrakis-finn']) {
      const pod = workloads.find((workload) => workload.name === name)?.pod;
      const env = Object.fromEntries(
        (pod?.containers[0]?.env ?? []).map(({ name, value }) => [name, Number(value)]),
      );
      expect(env.DRAIN_DEADLINE_MS).toBeGreaterThanOrEqual(120_000);
      const neededMs = (env.DRAIN_ANNOUNCE_MS ?? 0) + (env.DRAIN_DEADLINE_MS ?? 0) + 10_000;
      expect(pod?.terminationGracePeriodSeconds).toBeGreaterThanOrEqual(neededMs / 1000 + 3);
    }
  });

  it('are guarded by a disruption budget that selects them, where there are several', () => {
    const budgets = objects.filter(({ kind }) => kind === 'PodDisruptionBudget');
    for (const { metadata, spec } of objects) {
      const replicas = Number(spec?.replicas ?? 0);
      if (replicas < 2) continue;
      const budget = budgets.find((candidate) => candidate.metadata.name === metadata.name);
      expect.soft(budget?.spec, metadata.name).toBeDefined();
    }
  });

  it('are scraped under the names that the rules know', () => {
    if (helm === undefined) return;
    const monitors = render(helm, valueSet, {
      'metrics.serviceMonitor.enabled': 'true',
    }).filter(({ kind }) => kind === 'ServiceMonitor');
    const label = 'app.kubernetes.io/component';
    const jobs = monitors.map(({ metadata, spec }) => {
      expect(spec?.jobLabel).toBe(label);
      return metadata.labels?.[label];
    });
    expect(jobs.sort()).toEqual(['controller', 'finn', 'freeside-api', 'freeside-worker']);
  });
});

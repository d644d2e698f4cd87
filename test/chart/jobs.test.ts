import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import {
  named,
  render,
  VALUE_SETS,
  workloadNamed,
  type Container,
  type KubeObject,
} from './support/render.ts';
import { findTool, ROOT } from './support/tools.ts';

const helm = findTool('helm');
const GONOGO = 'arrakis-gonogo';
const LOAD = 'arrakis-load';

function envOf(container: Container | undefined): Readonly<Record<string, string | undefined>> {
  return Object.fromEntries((container?.env ?? []).map(({ name, value }) => [name, value]));
}

const namesOf = (objects: readonly KubeObject[], ...kinds: string[]): string[] =>
  objects
    .filter(({ kind }) => kinds.includes(kind))
    .map(({ metadata }) => metadata.name)
    .sort();

describe.skipIf(helm === undefined)('the Jobs that an operator starts', () => {
  const objects = helm === undefined ? [] : render(helm, 'kind');

  it.each([GONOGO, LOAD])('%s never starts by itself, runs once and comes to an end', (name) => {
    const { spec } = named(objects, 'CronJob', name);
    expect(spec).toMatchObject({
      suspend: true,
      concurrencyPolicy: 'Forbid',
      jobTemplate: { spec: { backoffLimit: 0, activeDeadlineSeconds: 900 } },
    });
    const { pod } = workloadNamed(objects, name);
    expect(pod.restartPolicy).toBe('Never');
    expect(pod.serviceAccountName).toBe(name);
  });

  it('are not there unless they are asked for', () => {
    if (helm === undefined) return;
    const settings = { 'gonogo.enabled': 'false', 'load.enabled': 'false' };
    const without = render(helm, 'kind', settings);
    expect(namesOf(without, 'CronJob')).toEqual([]);
    expect(JSON.stringify(without)).not.toMatch(/gonogo|"load"|load-key|LOAD_/);
    expect(namesOf(render(helm, 'production'), 'CronJob')).toEqual([GONOGO]);
  });
});

describe.skipIf(helm === undefined)('the gates', () => {
  it.each([
    ...Object.keys(VALUE_SETS).map((set) => [set, {}] as const),
    ['kind', { 'controller.enabled': 'false', 'pgbouncer.enabled': 'false' }] as const,
  ])(
    'of %s (%j) ask about everything that runs, and may rehearse its way back',
    (set, settings) => {
      if (helm === undefined) return;
      const objects = render(helm, set, settings);
      const { rules = [] } = named(objects, 'Role', GONOGO);
      const named_ = rules.filter(({ verbs }) => verbs.includes('patch'));
      const rehearsed = named_.flatMap(({ resourceNames }) => resourceNames ?? []);
      expect([...rehearsed].sort()).toEqual(namesOf(objects, 'Deployment', 'StatefulSet'));
      for (const { verbs, resourceNames } of named_) {
        expect(verbs).toEqual(['patch']);
        expect(resourceNames).not.toHaveLength(0);
      }
      const env = envOf(workloadNamed(objects, GONOGO).pod.containers[0]);
      const ours = namesOf(objects, 'Deployment', 'StatefulSet').filter((name) =>
        /-(freeside-api|freeside-worker|finn|controller)$/.test(name),
      );
      expect(env.GONOGO_COMPONENTS?.split(',').sort()).toEqual(
        ours.map((name) => name.replace('arrakis-', '')),
      );
    },
  );

  it('reach whatever they ask, and nothing else', () => {
    if (helm === undefined) return;
    expect(waysOf('gonogo', render(helm, 'kind'))).toEqual([
      'arrakis-gates-to-controller-from-gonogo',
      'arrakis-gates-to-finn-from-gonogo',
      'arrakis-gates-to-freeside-api-from-gonogo',
      'arrakis-gates-to-freeside-worker-from-gonogo',
      'arrakis-to-api-from-gonogo',
      'arrakis-to-finn-from-gonogo',
      'arrakis-to-kubernetes',
      'arrakis-to-pgbouncer-from-gonogo',
    ]);
  });

  it('read the signing key where there is one, and print their report', () => {
    if (helm === undefined) return;
    const { pod } = workloadNamed(render(helm, 'production'), GONOGO);
    expect(pod.volumes).toEqual([
      {
        name: 'keys',
        secret: { secretName: 'signing-key-freeside', defaultMode: 0o440, optional: true },
      },
    ]);
    expect(envOf(pod.containers[0]).GONOGO_REPORT_FILE).toBe('-');
  });

  it('are given a Prometheus and a key for reports only where there are any', () => {
    if (helm === undefined) return;
    const objects = render(helm, 'production', {
      'gonogo.config.prometheusUrl': 'http://prometheus.monitoring:9090',
      'gonogo.signingKeySecret': 'report-key',
    });
    const { env = [] } = workloadNamed(objects, GONOGO).pod.containers[0] ?? {};
    expect(env).toContainEqual({
      name: 'PROMETHEUS_URL',
      value: 'http://prometheus.monitoring:9090',
    });
    expect(env).toContainEqual({
      name: 'GONOGO_SIGNING_KEY',
      valueFrom: { secretKeyRef: { name: 'report-key', key: 'signing-key' } },
    });
    expect(named(objects, 'NetworkPolicy', 'arrakis-to-prometheus').spec?.egress).toEqual([
      { to: [{ ipBlock: { cidr: '0.0.0.0/0' } }], ports: [{ port: 9090, protocol: 'TCP' }] },
    ]);
    const usual = render(helm, 'production');
    expect(namesOf(usual, 'NetworkPolicy')).not.toContain('arrakis-to-prometheus');
    expect(JSON.stringify(usual)).not.toMatch(/PROMETHEUS_URL|GONOGO_SIGNING_KEY/);
  });
});

/** Names of the policies by which a component gets out, those of every pod apart. */
function waysOf(component: string, objects: readonly KubeObject[]): string[] {
  return objects
    .filter(({ kind }) => kind === 'NetworkPolicy')
    .filter(({ spec }) => JSON.stringify(spec?.podSelector).includes(`"${component}"`))
    .map(({ metadata }) => metadata.name)
    .sort();
}

describe.skipIf(helm === undefined)('the load', () => {
  it('can be any scenario that there is, and is the one from the values', () => {
    if (helm === undefined) return;
    const files = readdirSync(join(ROOT, 'loadtest/k6/scenarios'));
    for (const file of files) {
      const scenario = file.replace(/\.ts$/, '');
      const { pod } = workloadNamed(render(helm, 'kind', { 'load.scenario': scenario }), LOAD);
      const [container] = pod.containers;
      expect(container?.args?.at(-1)).toBe('/scripts/scenarios/$(LOAD_SCENARIO).ts');
      expect(envOf(container)).toMatchObject({
        LOAD_SCENARIO: scenario,
        BASE_URL: 'http://arrakis-freeside-api:3000',
        LOAD_SUMMARY_DIR: '-',
        K6_NO_USAGE_REPORT: 'true',
      });
    }
  });

  it('has a key of its own, which the seed takes in', () => {
    if (helm === undefined) return;
    const objects = render(helm, 'kind');
    const key = (container: Container | undefined, variable: string) =>
      container?.env?.find(({ name }) => name === variable)?.valueFrom?.secretKeyRef?.name;
    const seed = workloadNamed(objects, 'arrakis-seed-1').pod.containers[0];
    expect(key(workloadNamed(objects, LOAD).pod.containers[0], 'API_KEY')).toBe('arrakis-load-key');
    expect(key(seed, 'LOAD_API_KEY')).toBe('arrakis-load-key');
    expect(key(seed, 'DEMO_API_KEY')).toBe('arrakis-demo-key');
    // Somebody else's key is not ours to take in, nor its Secret to make.
    const given = render(helm, 'kind', { 'load.apiKeySecret': 'mine' });
    expect(key(workloadNamed(given, LOAD).pod.containers[0], 'API_KEY')).toBe('mine');
    expect(JSON.stringify(given)).not.toMatch(/arrakis-load-key|LOAD_API_KEY/);
  });

  it('reaches the api and nothing else', () => {
    if (helm === undefined) return;
    expect(waysOf('load', render(helm, 'kind'))).toEqual(['arrakis-to-api-from-load']);
  });
});

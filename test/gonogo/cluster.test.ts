import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { networkInterfaces, tmpdir } from 'node:os';
import { join } from 'node:path';
import { testKubeconfig, waitFor } from '@arrakis/testkit';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { SignedReport } from '../../services/gonogo/src/report/report.schema.ts';
import { gonogo } from './support/gonogo.ts';
import { startStandIn, type StandIn } from './support/stand-in.ts';

/** The gates that ask a cluster, against a real API server. Needs TEST_KUBECONFIG; KUBECTL names kubectl. */

const KUBECONFIG = testKubeconfig() ?? '';
const NAMESPACE = `gonogo-${String(process.pid)}`;
const RELEASE = 'gonogo-test';

const template = (image: string) => ({
  metadata: { labels: { app: 'web' } },
  spec: { containers: [{ name: 'web', image }] },
});
/** No replicas: templates and revisions are what is asked for. */
const workload = (kind: 'Deployment' | 'StatefulSet', image: string) => ({
  apiVersion: 'apps/v1',
  kind,
  metadata: { name: 'web', labels: { 'app.kubernetes.io/instance': RELEASE } },
  spec: {
    replicas: 0,
    selector: { matchLabels: { app: 'web' } },
    template: template(image),
    ...(kind === 'StatefulSet' ? { serviceName: 'web' } : {}),
  },
});
const policy = {
  apiVersion: 'admissionregistration.k8s.io/v1',
  kind: 'ValidatingAdmissionPolicy',
  metadata: { name: NAMESPACE },
  spec: {
    matchConstraints: {
      resourceRules: [
        {
          apiGroups: ['apps'],
          apiVersions: ['v1'],
          operations: ['UPDATE'],
          resources: ['deployments'],
        },
      ],
    },
    validations: [
      {
        expression: "object.spec.template.spec.containers.all(c, c.image != 'web:1')",
        message: 'web:1 is forbidden today',
      },
    ],
  },
};
const binding = {
  apiVersion: 'admissionregistration.k8s.io/v1',
  kind: 'ValidatingAdmissionPolicyBinding',
  metadata: { name: NAMESPACE },
  spec: {
    policyName: NAMESPACE,
    validationActions: ['Deny'],
    matchResources: {
      namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': NAMESPACE } },
    },
  },
};

function kubectl(args: readonly string[], input?: object): Promise<string> {
  return new Promise((done, reject) => {
    const child = execFile(
      process.env.KUBECTL ?? 'kubectl',
      [...args],
      { env: { ...process.env, KUBECONFIG } },
      (error, stdout, stderr) => (error ? reject(new Error(stderr)) : done(stdout)),
    );
    child.stdin?.end(input === undefined ? '' : JSON.stringify(input));
  });
}

const here = (...args: readonly string[]) => kubectl(['-n', NAMESPACE, ...args]);
const apply = (object: object) => kubectl(['-n', NAMESPACE, 'apply', '-f', '-'], object);

const SKIPPED = KUBECONFIG === '' ? ' [SKIPPED: TEST_KUBECONFIG is not set]' : '';

describe.skipIf(KUBECONFIG === '')(`in a cluster${SKIPPED}`, () => {
  let dir: string;
  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'arrakis-gonogo-'));
    await kubectl(['create', 'namespace', NAMESPACE]);
  });
  afterAll(async () => {
    const gone = ['--ignore-not-found', '--wait=false'];
    await kubectl(['delete', 'validatingadmissionpolicybinding', NAMESPACE, ...gone]);
    await kubectl(['delete', 'validatingadmissionpolicy', NAMESPACE, ...gone]);
    await kubectl(['delete', 'namespace', NAMESPACE, ...gone]);
    await rm(dir, { recursive: true, force: true });
  });

  const run = async (gates: string, changes: Readonly<Record<string, string>> = {}) => {
    const file = join(dir, 'report.json');
    const { code, output } = await gonogo(['--gates', gates, '--report', file], {
      KUBECONFIG,
      GONOGO_RELEASE: RELEASE,
      GONOGO_NAMESPACE: NAMESPACE,
      ...changes,
    });
    const { report } = JSON.parse(await readFile(file, 'utf8')) as SignedReport;
    const [gate] = report.gates;
    return { code, output, outcome: gate?.outcome, reason: gate?.reason ?? '', gate };
  };
  const revisions = async (kind: string, count: number) => {
    const seen = async () =>
      (await here('get', kind, '-o', 'name')).trim().split('\n').length === count;
    await waitFor(seen, { timeoutMs: 30_000, intervalMs: 200 });
  };

  /** A copy of the kubeconfig for another server, or another user. */
  const kubeconfigWith = async (other: { server?: string; token?: string }): Promise<string> => {
    const view = JSON.parse(await kubectl(['config', 'view', '--raw', '-o', 'json'])) as {
      clusters: { cluster: { server: string } }[];
      users: { user: object }[];
    };
    const { server, token } = other;
    for (const { cluster } of view.clusters) if (server !== undefined) cluster.server = server;
    for (const user of view.users) if (token !== undefined) user.user = { token };
    const file = join(dir, `kubeconfig-${token === undefined ? 'server' : 'user'}.json`);
    await writeFile(file, JSON.stringify(view), { mode: 0o600 });
    return file;
  };

  describe('rollback', () => {
    it('is inconclusive where nothing is, and where nothing was ever upgraded', async () => {
      expect(await run('rollback')).toMatchObject({ code: 2, outcome: 'inconclusive' });
      await apply(workload('Deployment', 'web:1'));
      await apply(workload('StatefulSet', 'web:1'));
      await revisions('replicasets', 1);
      await revisions('controllerrevisions', 1);
      const { code, reason } = await run('rollback');
      expect({ code, reason }).toMatchObject({
        code: 2,
        reason: expect.stringContaining('never upgraded') as string,
      });
    });

    it('passes when the previous revisions are accepted, and takes nothing back', async () => {
      await apply(workload('Deployment', 'web:2'));
      await apply(workload('StatefulSet', 'web:2'));
      await revisions('replicasets', 2);
      await revisions('controllerrevisions', 2);
      const upToDate = async () =>
        (await here('get', 'statefulset', 'web', '-o', 'jsonpath={.status.observedGeneration}')) ===
        '2';
      await waitFor(upToDate, { timeoutMs: 30_000, intervalMs: 200 });
      const { code, outcome, gate, output } = await run('rollback');
      expect({ code, outcome }, output).toEqual({ code: 0, outcome: 'pass' });
      expect(gate?.evidence.workloads).toEqual([
        { kind: 'Deployment', name: 'web', previousRevision: 1 },
        { kind: 'StatefulSet', name: 'web', previousRevision: 1 },
      ]);
      const images = await here('get', 'deployments,statefulsets', '-o', 'jsonpath={..image}');
      expect(images.split(' ')).toEqual(['web:2', 'web:2']);
    });

    it('needs no more than the documented permissions, and shows nothing without patch', async () => {
      const list = (apiGroups: string[], resources: string[]) => ({
        apiGroups,
        resources,
        verbs: ['list'],
      });
      const revisions = ['deployments', 'statefulsets', 'replicasets', 'controllerrevisions'];
      const rules: object[] = [
        list(['discovery.k8s.io'], ['endpointslices']),
        list(['apps'], revisions),
      ];
      const patch = {
        apiGroups: ['apps'],
        resources: ['deployments', 'statefulsets'],
        resourceNames: ['web'],
        verbs: ['patch'],
      };
      const role = (with_: object[]) => ({
        apiVersion: 'rbac.authorization.k8s.io/v1',
        kind: 'Role',
        metadata: { name: 'gonogo' },
        rules: with_,
      });
      await here('create', 'serviceaccount', 'gonogo');
      const account = `--serviceaccount=${NAMESPACE}:gonogo`;
      await here('create', 'rolebinding', 'gonogo', '--role=gonogo', account);
      const file = await kubeconfigWith({
        token: (await here('create', 'token', 'gonogo')).trim(),
      });
      await apply(role([...rules, patch]));
      const granted = async () =>
        (await run('rollback', { KUBECONFIG: file })).outcome !== 'inconclusive';
      await waitFor(granted, { timeoutMs: 30_000, intervalMs: 500 });
      expect(await run('rollback', { KUBECONFIG: file })).toMatchObject({ code: 0 });
      await apply(role(rules));
      const { code, reason } = await run('rollback', { KUBECONFIG: file });
      expect(code).toBe(2);
      expect(reason).toContain('Deployment web: 403');
    });

    it('fails when the cluster of today refuses the previous revision', async () => {
      await kubectl(['apply', '-f', '-'], policy);
      await kubectl(['apply', '-f', '-'], binding);
      const back = ['set', 'image', 'deployment/web', 'web=web:1', '--dry-run=server'];
      const isActive = () =>
        here(...back).then(
          () => false,
          () => true,
        );
      await waitFor(isActive, { timeoutMs: 30_000, intervalMs: 200 });
      const { code, reason } = await run('rollback');
      expect(code).toBe(1);
      expect(reason).toMatch(/^Deployment web: 422 .*web:1 is forbidden today/);
    });

    it('is inconclusive when the API server does not answer', async () => {
      const file = await kubeconfigWith({ server: 'https://127.0.0.1:9' });
      expect(await run('rollback', { KUBECONFIG: file })).toMatchObject({ code: 2 });
    });
  });

  describe('health', () => {
    let healthy: StandIn;
    let ready: StandIn;
    beforeAll(async () => {
      healthy = await startStandIn(200, { status: 'ok' });
      ready = await startStandIn(200, { status: 'ready' }, '0.0.0.0');
    });
    afterAll(async () => {
      await healthy.close();
      await ready.close();
    });

    /** The API server takes no loopback address. */
    const address = (): string =>
      Object.values(networkInterfaces())
        .flat()
        .find((one) => one?.family === 'IPv4' && !one.internal)!.address;
    const slice = (isReady: boolean) => ({
      apiVersion: 'discovery.k8s.io/v1',
      kind: 'EndpointSlice',
      metadata: {
        name: 'finn-1',
        labels: {
          'app.kubernetes.io/instance': RELEASE,
          'app.kubernetes.io/component': 'finn',
          'kubernetes.io/service-name': 'finn',
        },
      },
      addressType: 'IPv4',
      ports: [{ name: 'admin', port: Number(new URL(ready.url).port), protocol: 'TCP' }],
      endpoints: [{ addresses: [address()], conditions: { ready: isReady } }],
    });
    const look = (components: string) =>
      run('health', {
        FREESIDE_URL: healthy.url,
        FINN_URL: healthy.url,
        GONOGO_COMPONENTS: components,
      });

    it('asks each endpoint of the release, and misses what is not there or not ready', async () => {
      await apply(slice(true));
      const well = await look('finn');
      expect({ code: well.code, outcome: well.outcome }, well.output).toEqual({
        code: 0,
        outcome: 'pass',
      });
      expect((await look('finn,controller')).reason).toContain('controller has no ready replica');
      await apply(slice(false));
      const { code, reason } = await look('finn');
      expect(code).toBe(1);
      expect(reason).toContain('finn has no ready replica');
    });
  });
});

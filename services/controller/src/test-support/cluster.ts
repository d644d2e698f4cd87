import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  findFreePort,
  spawnService,
  testKubeconfig,
  waitFor,
  type SpawnedService,
} from '@arrakis/testkit';
import { request } from 'undici';
import { parse } from 'yaml';
import { ApiClient } from '../kubernetes/api.client.ts';
import { connectToCluster, type KubeConnection } from '../kubernetes/connection.ts';
import type { KubeObject, Resource } from '../kubernetes/objects.ts';
import { SIGNING_KEYS, type SigningKeyObject } from '../reconcilers/signing-key/resource.ts';

export const CLUSTER = testKubeconfig();
/** For the title of a suite that is skipped: it must be seen that nothing was shown. */
export const SKIPPED =
  CLUSTER === undefined ? ' [SKIPPED: TEST_KUBECONFIG is not set, no API server was asked]' : '';

const ENTRY = fileURLToPath(new URL('../main.ts', import.meta.url));
const CRD = resolve(
  import.meta.dirname,
  '../../../../charts/platform/charts/crds/crds/signingkeys.yaml',
);
const ENDPOINT_SLICES: Resource = { root: 'apis/discovery.k8s.io/v1', plural: 'endpointslices' };

/** A namespace of its own on a real API server. */
export interface TestCluster {
  readonly api: ApiClient;
  readonly connection: KubeConnection;
  readonly namespace: string;
  /** An address of this machine that an EndpointSlice may name: not a loopback one. */
  readonly address: string;
  get(name: string): Promise<SigningKeyObject>;
  /** EndpointSlices by hand: the services have no pods. */
  setEndpoints(service: string, addresses: readonly string[]): Promise<void>;
  raw(
    method: 'DELETE' | 'POST' | 'PATCH' | 'GET',
    path: string,
    body?: unknown,
    type?: string,
  ): Promise<{ status: number; body: unknown }>;
  drop(): Promise<void>;
}

export async function createTestCluster(): Promise<TestCluster> {
  const connection = await connectToCluster(CLUSTER);
  const api = new ApiClient({ connection });
  const namespace = `controller-${randomBytes(4).toString('hex')}`;
  const raw = rawClient(connection);
  await raw(
    'PATCH',
    `apis/apiextensions.k8s.io/v1/customresourcedefinitions/signingkeys.keys.arrakis.community?fieldManager=test&force=true`,
    parse(readFileSync(CRD, 'utf8')),
    'application/apply-patch+yaml',
  );
  await raw('POST', 'api/v1/namespaces', { metadata: { name: namespace } });
  await waitFor(() => api.list(SIGNING_KEYS, { namespace }).then(() => true), {
    timeoutMs: 15_000,
  });
  return {
    ...{ api, connection, namespace, raw, address: ownAddress() },
    get: (name) => api.get<SigningKeyObject>(SIGNING_KEYS, { namespace, name }),
    setEndpoints: async (service, addresses) => {
      await api.apply(ENDPOINT_SLICES, {
        ...{ apiVersion: 'discovery.k8s.io/v1', kind: 'EndpointSlice', addressType: 'IPv4' },
        metadata: {
          name: `${service}-1`,
          namespace,
          labels: { 'kubernetes.io/service-name': service },
        },
        endpoints: addresses.map((address) => ({
          addresses: [address],
          conditions: { ready: true },
        })),
        ports: [],
      } as KubeObject);
    },
    drop: async () => {
      const { items } = await api.list<SigningKeyObject>(SIGNING_KEYS, { namespace });
      for (const { metadata } of items) {
        const path = `${SIGNING_KEYS.root}/namespaces/${namespace}/signingkeys/${metadata.name}`;
        await raw(
          'PATCH',
          path,
          { metadata: { finalizers: null } },
          'application/merge-patch+json',
        );
      }
      await raw('DELETE', `api/v1/namespaces/${namespace}`);
      await api.close();
    },
  };
}

function rawClient(connection: KubeConnection): TestCluster['raw'] {
  return async (method, path, body, type = 'application/json') => {
    const { Agent } = await import('undici');
    const dispatcher = new Agent({ connect: { ...connection.tls } });
    try {
      const response = await request(`${connection.server}/${path}`, {
        dispatcher,
        method,
        headers: { 'content-type': type, ...(await connection.authorization()) },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
      const text = await response.body.text();
      return { status: response.statusCode, body: JSON.parse(text) as unknown };
    } finally {
      await dispatcher.close();
    }
  };
}

function ownAddress(): string {
  const all = Object.values(networkInterfaces()).flatMap((list) => list ?? []);
  const own = all.find(({ family, internal }) => family === 'IPv4' && !internal);
  if (own === undefined) throw new Error('this machine has no address but the loopback one');
  return own.address;
}

export interface ControllerProcess extends SpawnedService {
  readonly adminPort: number;
  metrics(): Promise<string>;
  readiness(): Promise<{ checks: Record<string, string> }>;
}

/** The controller as a process of its own, outside the cluster. */
export async function startControllerProcess(
  cluster: TestCluster,
  databaseUrl: string,
  env: Readonly<Record<string, string>> = {},
): Promise<ControllerProcess> {
  const adminPort = await findFreePort();
  const origin = `http://127.0.0.1:${adminPort}`;
  const service = await spawnService({
    entry: ENTRY,
    readyUrl: `${origin}/readyz`,
    env: {
      PATH: '/usr/bin:/bin',
      NODE_NO_WARNINGS: '1',
      KUBECONFIG: CLUSTER ?? '',
      DATABASE_URL: databaseUrl,
      CONTROLLER_NAMESPACE: cluster.namespace,
      CONTROLLER_ADMIN_PORT: String(adminPort),
      CONTROLLER_MIN_PROPAGATION_WAIT: '1s',
      ...env,
    },
  });
  const get = async (path: string) => (await request(`${origin}${path}`)).body;
  return {
    ...service,
    adminPort,
    metrics: async () => (await get('/metrics')).text(),
    readiness: async () =>
      (await (await get('/readyz')).json()) as { checks: Record<string, string> },
  };
}

import { readFileSync } from 'node:fs';
import {
  ApiException,
  AppsV1Api,
  DiscoveryV1Api,
  KubeConfig,
  PatchStrategy,
  setHeaderOptions,
  type V1ControllerRevision,
  type V1EndpointSlice,
  type V1OwnerReference,
  type V1ReplicaSet,
} from '@kubernetes/client-node';
import type { ClusterConfig } from '../config/config.ts';
import { replicasOf, type Replicas, type SliceView } from './replicas.domain.ts';
import { previousRevision, type DryRun, type Revision, type Workload } from './revisions.domain.ts';

/** What the gates ask of a cluster. Every method throws when the API server doesn't answer. */
export interface Cluster {
  readonly namespace: string;
  replicas(): Promise<Replicas>;
  /** Every Deployment and StatefulSet of the release. */
  workloads(): Promise<readonly Workload[]>;
  /** Asks the API server to take the workload back, without doing it. */
  dryRunPrevious(workload: Workload): Promise<DryRun>;
}

const NAMESPACE_FILE = '/var/run/secrets/kubernetes.io/serviceaccount/namespace';
const REVISION = 'deployment.kubernetes.io/revision';
const HASH_LABEL = 'pod-template-hash';
const DRY_RUN = { dryRun: 'All', fieldManager: 'arrakis-gonogo' } as const;

/** @throws Error when there is neither a pod's account nor a kubeconfig. */
export function connectToCluster(config: ClusterConfig): Cluster {
  const { kubeConfig, ownNamespace } = loadKubeConfig(config.kubeconfig);
  const namespace = config.namespace ?? ownNamespace;
  const apps = kubeConfig.makeApiClient(AppsV1Api);
  const discovery = kubeConfig.makeApiClient(DiscoveryV1Api);
  const selection = {
    namespace,
    labelSelector: `app.kubernetes.io/instance=${config.release}`,
  };
  return {
    namespace,
    async replicas() {
      const { items } = await discovery.listNamespacedEndpointSlice(selection);
      return replicasOf(items.map(toSliceView), config.components);
    },
    workloads: () => listWorkloads(apps, selection),
    dryRunPrevious: (workload) => dryRun(apps, namespace, workload),
  };
}

function loadKubeConfig(file: string | undefined): {
  readonly kubeConfig: KubeConfig;
  readonly ownNamespace: string;
} {
  const kubeConfig = new KubeConfig();
  const podNamespace = file === undefined ? readPodNamespace() : undefined;
  if (podNamespace !== undefined) kubeConfig.loadFromCluster();
  else if (file === undefined) kubeConfig.loadFromDefault();
  else kubeConfig.loadFromFile(file);
  const context = kubeConfig.getContextObject(kubeConfig.getCurrentContext());
  return { kubeConfig, ownNamespace: podNamespace ?? context?.namespace ?? 'default' };
}

function readPodNamespace(): string | undefined {
  try {
    return readFileSync(NAMESPACE_FILE, 'utf8').trim();
  } catch {
    return undefined;
  }
}

function toSliceView(slice: V1EndpointSlice): SliceView {
  return {
    component: slice.metadata?.labels?.['app.kubernetes.io/component'] ?? '',
    ports: (slice.ports ?? []).map(({ name, port }) => ({ name: name ?? '', port: port ?? 0 })),
    endpoints: (slice.endpoints ?? []).map(({ addresses, conditions, targetRef }) => ({
      address: addresses[0] ?? '',
      pod: targetRef?.name ?? addresses[0] ?? '',
      // Absent means unknown, which a consumer is to take as ready.
      isReady: conditions?.ready ?? true,
      isTerminating: conditions?.terminating ?? false,
    })),
  };
}

interface Selection {
  readonly namespace: string;
  readonly labelSelector: string;
}

async function listWorkloads(apps: AppsV1Api, selection: Selection): Promise<Workload[]> {
  const [deployments, replicaSets, statefulSets, revisions] = await Promise.all([
    apps.listNamespacedDeployment(selection),
    // Revisions are found by their owners: their labels are the pods', not the workload's.
    apps.listNamespacedReplicaSet({ namespace: selection.namespace }),
    apps.listNamespacedStatefulSet(selection),
    apps.listNamespacedControllerRevision({ namespace: selection.namespace }),
  ]);
  return [
    ...deployments.items.map(({ metadata }) => {
      const owned = replicaSets.items.filter((set) =>
        isOwned(set.metadata?.ownerReferences, metadata?.uid),
      );
      const current = Number(metadata?.annotations?.[REVISION] ?? 0);
      return {
        kind: 'Deployment' as const,
        name: metadata?.name ?? '',
        previous: previousRevision(owned.map(ofReplicaSet), current),
      };
    }),
    ...statefulSets.items.map(({ metadata, status }) => {
      const owned = revisions.items.filter((one) =>
        isOwned(one.metadata?.ownerReferences, metadata?.uid),
      );
      const current = owned.find((one) => one.metadata?.name === status?.updateRevision);
      return {
        kind: 'StatefulSet' as const,
        name: metadata?.name ?? '',
        previous: previousRevision(owned.map(ofControllerRevision), current?.revision ?? 0),
      };
    }),
  ];
}

function isOwned(
  owners: readonly V1OwnerReference[] | undefined,
  uid: string | undefined,
): boolean {
  return uid !== undefined && owners?.some((owner) => owner.uid === uid) === true;
}

function ofReplicaSet({ metadata, spec }: V1ReplicaSet): Revision {
  const template = structuredClone(spec?.template);
  delete template?.metadata?.labels?.[HASH_LABEL];
  return {
    number: Number(metadata?.annotations?.[REVISION] ?? 0),
    // As `kubectl rollout undo` does it: the whole template, not a merge with today's.
    patch: [{ op: 'replace', path: '/spec/template', value: template }],
  };
}

function ofControllerRevision({ revision, data }: V1ControllerRevision): Revision {
  return { number: revision, patch: data as object };
}

async function dryRun(apps: AppsV1Api, namespace: string, workload: Workload): Promise<DryRun> {
  const { kind, name, previous } = workload;
  if (previous === undefined) throw new Error(`${kind} ${name} has no previous revision`);
  const target = { namespace, name, body: previous.patch, ...DRY_RUN };
  try {
    if (kind === 'Deployment') {
      const asJsonPatch = setHeaderOptions('Content-Type', PatchStrategy.JsonPatch);
      await apps.patchNamespacedDeployment(target, asJsonPatch);
    } else {
      const asMerge = setHeaderOptions('Content-Type', PatchStrategy.StrategicMergePatch);
      await apps.patchNamespacedStatefulSet(target, asMerge);
    }
    return { outcome: 'accepted' };
  } catch (error) {
    if (!(error instanceof ApiException)) throw error;
    const reason = `${String(error.code)} ${messageOf(error.body)}`;
    // 400 and 422: what it says is not acceptable. Anything else is about us, or about now.
    return { outcome: [400, 422].includes(error.code) ? 'refused' : 'unclear', reason };
  }
}

function messageOf(body: unknown): string {
  try {
    const status = (typeof body === 'string' ? JSON.parse(body) : body) as { message?: unknown };
    return typeof status.message === 'string' ? status.message.slice(0, 300) : 'without a message';
  } catch {
    return 'without a message';
  }
}

import { join } from 'node:path';
import { parseAllDocuments } from 'yaml';
import { CHART, runTool, type ToolResult } from './tools.ts';

/** What the chart renders to, as objects. */

export interface Container {
  readonly name: string;
  readonly image: string;
  readonly args?: readonly string[];
  readonly env?: readonly EnvVariable[];
  readonly ports?: readonly { readonly name: string; readonly containerPort: number }[];
  readonly resources?: {
    readonly requests?: Readonly<Record<string, unknown>>;
    readonly limits?: Readonly<Record<string, unknown>>;
  };
  readonly securityContext?: {
    readonly allowPrivilegeEscalation?: boolean;
    readonly readOnlyRootFilesystem?: boolean;
    readonly privileged?: boolean;
    readonly capabilities?: { readonly drop?: readonly string[]; readonly add?: readonly string[] };
  };
  readonly startupProbe?: object;
  readonly readinessProbe?: object;
  readonly livenessProbe?: object;
}

export interface EnvVariable {
  readonly name: string;
  readonly value?: string;
  readonly valueFrom?: {
    readonly secretKeyRef?: { readonly name: string; readonly key: string };
    readonly fieldRef?: object;
  };
}

export interface PodSpec {
  readonly serviceAccountName?: string;
  readonly automountServiceAccountToken?: boolean;
  readonly hostNetwork?: boolean;
  readonly securityContext?: {
    readonly runAsNonRoot?: boolean;
    readonly runAsUser?: number;
    readonly seccompProfile?: { readonly type: string };
  };
  readonly terminationGracePeriodSeconds?: number;
  readonly restartPolicy?: string;
  readonly initContainers?: readonly Container[];
  readonly containers: readonly Container[];
  readonly volumes?: readonly Readonly<Record<string, unknown>>[];
}

type Labels = Readonly<Record<string, string>>;

export interface KubeObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly labels?: Labels;
    readonly annotations?: Labels;
  };
  readonly spec?: Readonly<Record<string, unknown>>;
  readonly data?: Readonly<Record<string, string>>;
  readonly rules?: readonly {
    readonly apiGroups: readonly string[];
    readonly resources: readonly string[];
    readonly verbs: readonly string[];
    readonly resourceNames?: readonly string[];
  }[];
}

export interface Workload {
  readonly name: string;
  readonly kind: string;
  readonly labels: Labels;
  readonly pod: PodSpec;
}

/** Value sets that the repository ships, by name. */
export const VALUE_SETS: Readonly<Record<string, readonly string[]>> = {
  kind: ['kind-values.yaml'],
  ha: ['kind-values.yaml', 'ha-values.yaml'],
  production: ['production-values.yaml'],
};

export function renderRaw(
  helm: string,
  valueSet: string,
  settings: Readonly<Record<string, string>> = {},
): ToolResult {
  const files = VALUE_SETS[valueSet] ?? [];
  return runTool(helm, [
    'template',
    'arrakis',
    CHART,
    '--namespace=arrakis',
    // A helm built with `go install` believes in a cluster of years ago.
    '--kube-version=1.34.0',
    ...files.flatMap((file) => ['--values', join(CHART, 'ci', file)]),
    ...Object.entries(settings).flatMap(([name, value]) => ['--set', `${name}=${value}`]),
  ]);
}

/** @throws Error with what helm said, when it refuses. */
export function render(
  helm: string,
  valueSet: string,
  settings: Readonly<Record<string, string>> = {},
): readonly KubeObject[] {
  const { code, output, errors } = renderRaw(helm, valueSet, settings);
  if (code !== 0) throw new Error(errors);
  return parseAllDocuments(output)
    .map((document) => document.toJS() as KubeObject | null)
    .filter((object) => object !== null);
}

/** Everything that makes pods. */
export function workloadsOf(objects: readonly KubeObject[]): readonly Workload[] {
  return objects.flatMap(({ kind, metadata, spec }) => {
    if (kind === 'Pod') {
      return [
        {
          name: metadata.name,
          kind,
          labels: metadata.labels ?? {},
          pod: spec as unknown as PodSpec,
        },
      ];
    }
    if (!['Deployment', 'StatefulSet', 'Job', 'CronJob'].includes(kind)) return [];
    const jobSpec = (spec as { jobTemplate?: { spec: object } } | undefined)?.jobTemplate?.spec;
    const { template } = (jobSpec ?? spec) as {
      template: { metadata: { labels?: Labels }; spec: PodSpec };
    };
    const labels = template.metadata.labels ?? {};
    return [{ name: metadata.name, kind, labels, pod: template.spec }];
  });
}

/** A workload of that name; there must be one. */
export function workloadNamed(objects: readonly KubeObject[], name: string): Workload {
  const found = workloadsOf(objects).find((workload) => workload.name === name);
  if (found === undefined) throw new Error(`no workload ${name} was rendered`);
  return found;
}

export function containersOf(workload: Workload): readonly Container[] {
  return [...(workload.pod.initContainers ?? []), ...workload.pod.containers];
}

export function named(objects: readonly KubeObject[], kind: string, name: string): KubeObject {
  const found = objects.find((object) => object.kind === kind && object.metadata.name === name);
  if (found === undefined) throw new Error(`no ${kind} ${name} was rendered`);
  return found;
}

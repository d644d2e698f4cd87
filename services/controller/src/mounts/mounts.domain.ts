/** What a kubelet copies into the files of the pods that mount it. */
export interface MountedObject {
  readonly kind: 'ConfigMap' | 'Secret';
  readonly name: string;
}

interface Volume {
  readonly configMap?: { readonly name?: string };
  readonly secret?: { readonly secretName?: string; readonly name?: string };
}

/** Of a pod, as far as it tells what its files follow. */
export interface MountingPod {
  readonly metadata: {
    readonly name: string;
    readonly deletionTimestamp?: string;
    readonly annotations?: Readonly<Record<string, string>>;
  };
  readonly spec?: {
    readonly volumes?: readonly (Volume & {
      readonly projected?: { readonly sources?: readonly Volume[] };
    })[];
  };
  readonly status?: { readonly phase?: string };
}

/** A value by which a pod shows which content it was told of. */
export interface RevisionMark {
  readonly annotation: string;
  readonly revision: string;
}

/** The pods that have not been told of this revision: those that mount the object, live, and lack the mark. */
export function podsToPoke<T extends MountingPod>(
  pods: readonly T[],
  object: MountedObject,
  { annotation, revision }: RevisionMark,
): T[] {
  return pods.filter(
    (pod) =>
      isAlive(pod) && mounts(pod, object) && pod.metadata.annotations?.[annotation] !== revision,
  );
}

function isAlive({ metadata, status }: MountingPod): boolean {
  const isOver = status?.phase === 'Succeeded' || status?.phase === 'Failed';
  return metadata.deletionTimestamp === undefined && !isOver;
}

/** By a volume of its own or within a projected one. */
function mounts({ spec }: MountingPod, { kind, name }: MountedObject): boolean {
  const sources = (spec?.volumes ?? []).flatMap((volume) => [
    volume,
    ...(volume.projected?.sources ?? []),
  ]);
  return sources.some(({ configMap, secret }) =>
    kind === 'ConfigMap' ? configMap?.name === name : nameOf(secret) === name,
  );
}

/** Kubernetes calls it `secretName` in a volume and `name` in a projected source. */
function nameOf(secret: Volume['secret']): string | undefined {
  return secret?.secretName ?? secret?.name;
}

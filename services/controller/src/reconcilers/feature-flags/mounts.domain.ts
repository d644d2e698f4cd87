export const REVISION_ANNOTATION = 'flags.arrakis.community/revision';

/** Of a pod, as far as it tells which ConfigMaps its files follow. */
export interface MountingPod {
  readonly metadata: {
    readonly name: string;
    readonly deletionTimestamp?: string;
    readonly annotations?: Readonly<Record<string, string>>;
  };
  readonly spec?: {
    readonly volumes?: readonly {
      readonly configMap?: { readonly name?: string };
      readonly projected?: {
        readonly sources?: readonly { readonly configMap?: { readonly name?: string } }[];
      };
    }[];
  };
  readonly status?: { readonly phase?: string };
}

/**
 * The pods that have not been told of this revision of the ConfigMap: those that mount it, live, and
 * don't carry its name yet.
 */
export function podsToPoke<T extends MountingPod>(
  pods: readonly T[],
  configMap: string,
  revision: string,
): T[] {
  return pods.filter(
    (pod) =>
      isAlive(pod) &&
      mounts(pod, configMap) &&
      pod.metadata.annotations?.[REVISION_ANNOTATION] !== revision,
  );
}

function isAlive({ metadata, status }: MountingPod): boolean {
  const isOver = status?.phase === 'Succeeded' || status?.phase === 'Failed';
  return metadata.deletionTimestamp === undefined && !isOver;
}

/** By a volume of its own or within a projected one. */
function mounts({ spec }: MountingPod, configMap: string): boolean {
  return (spec?.volumes ?? []).some(
    (volume) =>
      volume.configMap?.name === configMap ||
      (volume.projected?.sources ?? []).some((source) => source.configMap?.name === configMap),
  );
}

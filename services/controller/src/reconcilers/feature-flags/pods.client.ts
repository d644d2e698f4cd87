import type { ApiClient } from '../../kubernetes/api.client.ts';
import { isConflict, isNotFound } from '../../kubernetes/api-error.ts';
import { PODS, type KubeObject } from '../../kubernetes/objects.ts';
import { REVISION_ANNOTATION, podsToPoke, type MountingPod } from './mounts.domain.ts';

export type PodObject = KubeObject & MountingPod;

export interface FlagPodsOptions {
  readonly api: ApiClient;
  readonly namespace: string;
  readonly configMap: string;
  readonly onPoked: (pods: number) => void;
}

const AT_ONCE = 8;

/**
 * The pods whose files follow the flags. A kubelet looks at the ConfigMaps of a pod when it syncs
 * that pod, by itself once in 60 to 90 s; a changed annotation makes it sync at once, so that the
 * files have the new content within seconds. The annotation means nothing to anybody else.
 */
export class FlagPods {
  readonly #options: FlagPodsOptions;
  #doneRevision: string | undefined;

  constructor(options: FlagPodsOptions) {
    this.#options = options;
  }

  /**
   * Each pod once for each revision; a pod made later mounts what is new by itself.
   *
   * @returns how many were told just now.
   * @throws the first refusal, after all were tried: those that are lacking are found again.
   */
  async poke(revision: string): Promise<number> {
    if (this.#doneRevision === revision) return 0;
    const { api, namespace, configMap, onPoked } = this.#options;
    const { items } = await api.list<PodObject>(PODS, { namespace });
    const lacking = podsToPoke(items, configMap, revision);
    const refusals: unknown[] = [];
    for (let at = 0; at < lacking.length; at += AT_ONCE) {
      const some = lacking.slice(at, at + AT_ONCE).map((pod) => this.#pokeOne(pod, revision));
      for (const result of await Promise.allSettled(some)) {
        if (result.status === 'rejected') refusals.push(result.reason);
      }
    }
    const poked = lacking.length - refusals.length;
    if (poked > 0) onPoked(poked);
    if (refusals.length > 0) throw refusals[0];
    this.#doneRevision = revision;
    return poked;
  }

  async #pokeOne(pod: PodObject, revision: string): Promise<void> {
    const { name, uid } = pod.metadata;
    const { api, namespace } = this.#options;
    try {
      // A merge patch: apply would make a pod that has gone meanwhile. The uid is a precondition:
      // a successor of the same name mounts what is new by itself.
      await api.mergePatch(
        PODS,
        { namespace, name },
        { metadata: { uid, annotations: { [REVISION_ANNOTATION]: revision } } },
      );
    } catch (error) {
      if (!isNotFound(error) && !isConflict(error)) throw error;
    }
  }
}

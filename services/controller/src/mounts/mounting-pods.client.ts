import type { ApiClient } from '../kubernetes/api.client.ts';
import { isConflict, isNotFound } from '../kubernetes/api-error.ts';
import { PODS, type KubeObject } from '../kubernetes/objects.ts';
import { podsToPoke, type MountedObject, type MountingPod } from './mounts.domain.ts';

export type PodObject = KubeObject & MountingPod;

export interface MountingPodsOptions {
  readonly api: ApiClient;
  readonly namespace: string;
  /** Carries the revision; means nothing to anybody else. */
  readonly annotation: string;
  readonly onPoked: (pods: number) => void;
}

const AT_ONCE = 8;

/**
 * The pods whose files follow a ConfigMap or Secret. A kubelet looks at those of a pod when it syncs
 * that pod, by itself once in 60 to 90 s; a changed annotation makes it sync at once, so that the
 * files have the new content within seconds.
 */
export class MountingPods {
  readonly #options: MountingPodsOptions;
  readonly #doneRevisions = new Map<string, string>();

  constructor(options: MountingPodsOptions) {
    this.#options = options;
  }

  /**
   * Each pod once for each revision; a pod made later mounts what is new by itself.
   *
   * @returns how many were told just now.
   * @throws the first refusal, after all were tried: those that are lacking are found again.
   */
  async poke(object: MountedObject, revision: string): Promise<number> {
    const key = `${object.kind}/${object.name}`;
    if (this.#doneRevisions.get(key) === revision) return 0;
    const { api, namespace, annotation, onPoked } = this.#options;
    const { items } = await api.list<PodObject>(PODS, { namespace });
    const lacking = podsToPoke(items, object, { annotation, revision });
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
    this.#doneRevisions.set(key, revision);
    return poked;
  }

  async #pokeOne(pod: PodObject, revision: string): Promise<void> {
    const { name, uid } = pod.metadata;
    const { api, namespace, annotation } = this.#options;
    try {
      // A merge patch: apply would make a pod that has gone meanwhile. The uid is a precondition:
      // a successor of the same name mounts what is new by itself.
      await api.mergePatch(
        PODS,
        { namespace, name },
        { metadata: { uid, annotations: { [annotation]: revision } } },
      );
    } catch (error) {
      if (!isNotFound(error) && !isConflict(error)) throw error;
    }
  }
}

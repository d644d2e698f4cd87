/** The few parts of Kubernetes objects that this process reads or writes, as JSON has them. */

export interface ObjectMeta {
  readonly name: string;
  readonly namespace?: string;
  readonly uid?: string;
  readonly resourceVersion?: string;
  readonly generation?: number;
  readonly creationTimestamp?: string;
  readonly deletionTimestamp?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly finalizers?: readonly string[];
  readonly ownerReferences?: readonly OwnerReference[];
}

export interface OwnerReference {
  readonly apiVersion: string;
  readonly kind: string;
  readonly name: string;
  readonly uid: string;
  readonly controller?: boolean;
}

export interface KubeObject {
  readonly apiVersion?: string;
  readonly kind?: string;
  readonly metadata: ObjectMeta;
}

export interface KubeList<T> {
  readonly metadata: { readonly resourceVersion: string; readonly continue?: string };
  readonly items: readonly T[];
}

export interface SecretObject extends KubeObject {
  /** Base64. */
  readonly data?: Readonly<Record<string, string>>;
}

export interface ConfigMapObject extends KubeObject {
  readonly data?: Readonly<Record<string, string>>;
}

export interface EndpointSlice extends KubeObject {
  readonly addressType: string;
  readonly endpoints?: readonly {
    readonly addresses: readonly string[];
    readonly conditions?: { readonly ready?: boolean; readonly terminating?: boolean };
    readonly targetRef?: { readonly name?: string };
  }[];
}

export interface Lease extends KubeObject {
  readonly spec?: {
    readonly holderIdentity?: string;
    readonly leaseDurationSeconds?: number;
    readonly acquireTime?: string;
    readonly renewTime?: string;
    readonly leaseTransitions?: number;
  };
}

/** One line of a watch. */
export interface WatchEvent<T> {
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED' | 'BOOKMARK' | 'ERROR';
  readonly object: T;
}

/** A kind of object: what its URLs are made of. */
export interface Resource {
  /** `api/v1` or `apis/<group>/<version>`. */
  readonly root: string;
  readonly plural: string;
}

export const SECRETS: Resource = { root: 'api/v1', plural: 'secrets' };
export const CONFIG_MAPS: Resource = { root: 'api/v1', plural: 'configmaps' };
export const PODS: Resource = { root: 'api/v1', plural: 'pods' };
export const EVENTS: Resource = { root: 'apis/events.k8s.io/v1', plural: 'events' };
export const LEASES: Resource = { root: 'apis/coordination.k8s.io/v1', plural: 'leases' };
export const ENDPOINT_SLICES: Resource = {
  root: 'apis/discovery.k8s.io/v1',
  plural: 'endpointslices',
};

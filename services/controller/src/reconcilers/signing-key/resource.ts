import type { S2SIssuer } from '@arrakis/contracts';
import type { KubeObject, Resource } from '../../kubernetes/objects.ts';

export const SIGNING_KEYS: Resource = {
  root: 'apis/keys.arrakis.community/v1alpha1',
  plural: 'signingkeys',
};
export const API_VERSION = 'keys.arrakis.community/v1alpha1';
export const KIND = 'SigningKey';
/** On pods: the kid that they were told to sign with. */
export const ACTIVE_KID_ANNOTATION = 'keys.arrakis.community/active-kid';
export const ROTATE_ANNOTATION = 'keys.arrakis.community/rotate';
export const SECRET_LABEL = 'keys.arrakis.community/signing-key';
export const FINALIZER = 'keys.arrakis.community/retire';

export type KeyPhase =
  'Publishing' | 'Propagating' | 'Canary' | 'Active' | 'Retiring' | 'Retired' | 'Failed';

export interface ServicePort {
  readonly service: string;
  readonly port: number;
}

export interface SigningKeySpec {
  readonly issuer: S2SIssuer;
  readonly algorithm?: 'ES256';
  readonly rotationInterval?: string;
  readonly overlap?: string;
  readonly propagationWait?: string;
  readonly targets: {
    readonly jwks: ServicePort & { readonly path?: string };
    readonly signers: ServicePort;
    readonly verifiers: ServicePort & { readonly path?: string };
  };
}

/** Times are RFC 3339. */
export interface KeyStatusObject {
  readonly kid: string;
  readonly phase: KeyPhase;
  readonly createdAt?: string;
  readonly publishedAt?: string;
  readonly servedAt?: string;
  readonly canaryPassedAt?: string;
  readonly activatedAt?: string;
  readonly retireAfter?: string;
  readonly retiredAt?: string;
}

export interface Condition {
  readonly type: 'Ready' | 'Rotating' | 'Degraded';
  readonly status: 'True' | 'False' | 'Unknown';
  readonly reason: string;
  readonly message: string;
  readonly lastTransitionTime: string;
  readonly observedGeneration?: number;
}

export interface SigningKeyStatusObject {
  readonly observedGeneration?: number;
  readonly phase?: KeyPhase;
  readonly activeKid?: string;
  readonly nextRotationTime?: string;
  readonly lastRotateRequest?: string;
  readonly keys?: readonly KeyStatusObject[];
  readonly conditions?: readonly Condition[];
}

export interface SigningKeyObject extends KubeObject {
  readonly spec: SigningKeySpec;
  readonly status?: SigningKeyStatusObject;
}

export const secretNameOf = (name: string): string => `signing-key-${name}`;

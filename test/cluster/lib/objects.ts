/** What the scenarios read of Kubernetes' objects. */

export interface Meta {
  readonly name: string;
  readonly uid: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly deletionTimestamp?: string;
}

export interface Condition {
  readonly type: string;
  readonly status: 'True' | 'False' | 'Unknown';
  readonly reason?: string;
  readonly message?: string;
  readonly lastTransitionTime: string;
}

export interface Pod {
  readonly metadata: Meta;
  readonly spec: { readonly nodeName?: string };
  readonly status: {
    readonly phase: string;
    readonly podIP?: string;
    readonly conditions?: readonly Condition[];
    readonly containerStatuses?: readonly { readonly restartCount: number }[];
  };
}

export interface Secret {
  readonly metadata: Meta;
  readonly data?: Readonly<Record<string, string>>;
}

export interface KubeEvent {
  readonly reason: string;
  readonly note?: string;
  readonly message?: string;
  readonly involvedObject: { readonly kind: string; readonly name: string };
}

export interface SigningKey {
  readonly metadata: Meta;
  readonly status?: {
    readonly phase?: string;
    readonly activeKid?: string;
    readonly nextRotationTime?: string;
    readonly conditions?: readonly Condition[];
    readonly keys?: readonly {
      readonly kid: string;
      readonly phase: string;
      readonly activatedAt?: string;
      readonly retiredAt?: string;
    }[];
  };
}

export function isTrue(conditions: readonly Condition[] | undefined, type: string): boolean {
  return (
    conditions?.some((condition) => condition.type === type && condition.status === 'True') ?? false
  );
}

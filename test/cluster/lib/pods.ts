export interface RestrictedPod {
  readonly name: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly image: string;
  /** Arguments of Node. */
  readonly args: readonly string[];
  readonly mounts?: readonly { readonly path: string; readonly volume: object }[];
}

/** A pod of the tests' own that Pod Security `restricted` lets in. */
export function restrictedPod({
  name,
  image,
  args,
  labels = {},
  mounts = [],
}: RestrictedPod): object {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, labels },
    spec: {
      restartPolicy: 'Never',
      automountServiceAccountToken: false,
      terminationGracePeriodSeconds: 1,
      securityContext: {
        runAsNonRoot: true,
        runAsUser: 1000,
        fsGroup: 1000,
        seccompProfile: { type: 'RuntimeDefault' },
      },
      containers: [
        {
          name: 'main',
          image,
          imagePullPolicy: 'IfNotPresent',
          args,
          securityContext: { allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] } },
          volumeMounts: mounts.map(({ path }, index) => ({
            name: `mount-${index}`,
            mountPath: path,
            readOnly: true,
          })),
        },
      ],
      volumes: mounts.map(({ volume }, index) => ({ name: `mount-${index}`, ...volume })),
    },
  };
}

/** The processes behind the Services. */
export interface Replicas {
  /** Of every replica that should be ready. */
  readonly adminUrls: readonly string[];
  /** finn's own addresses, one a replica. */
  readonly finnUrls: readonly string[];
  /** What should be there and isn't, in words. */
  readonly missing: readonly string[];
  /** Where this comes from. */
  readonly from: 'configuration' | 'cluster';
}

/** What an EndpointSlice of one of our Services tells. */
export interface SliceView {
  /** Label `app.kubernetes.io/component`, which the slice has from its Service. */
  readonly component: string;
  readonly ports: readonly { readonly name: string; readonly port: number }[];
  readonly endpoints: readonly EndpointView[];
}

interface EndpointView {
  readonly address: string;
  readonly pod: string;
  readonly isReady: boolean;
  readonly isTerminating: boolean;
}

/** Where a Service doesn't name its port. */
const ADMIN_PORTS: Readonly<Record<string, number>> = {
  'freeside-api': 9300,
  'freeside-worker': 9301,
  finn: 9302,
  controller: 9303,
};
const FINN_PORT = 3001;

/** What the slices say of the components that must be there. A pod that is leaving counts as gone. */
export function replicasOf(slices: readonly SliceView[], components: readonly string[]): Replicas {
  const adminUrls = new Set<string>();
  const finnUrls = new Set<string>();
  const missing = new Set<string>();
  for (const component of components) {
    const ours = slices.filter((slice) => slice.component === component);
    // A component may have a Service for each port: a port that any of them names counts for all.
    const adminPort = portNamed(ours, 'admin') ?? ADMIN_PORTS[component] ?? 0;
    const finnPort = portNamed(ours, 'http') ?? FINN_PORT;
    const endpoints = ours
      .flatMap((slice) => slice.endpoints)
      .filter(({ isTerminating }) => !isTerminating);
    for (const endpoint of endpoints) {
      if (!endpoint.isReady) missing.add(`${endpoint.pod} is not ready`);
      adminUrls.add(urlOf(endpoint, adminPort));
      if (component === 'finn') finnUrls.add(urlOf(endpoint, finnPort));
    }
    if (!endpoints.some(({ isReady }) => isReady)) missing.add(`${component} has no ready replica`);
  }
  return {
    adminUrls: [...adminUrls],
    finnUrls: [...finnUrls],
    missing: [...missing],
    from: 'cluster',
  };
}

function portNamed(slices: readonly SliceView[], wanted: string): number | undefined {
  return slices.flatMap(({ ports }) => ports).find(({ name }) => name === wanted)?.port;
}

function urlOf({ address }: EndpointView, port: number): string {
  const host = address.includes(':') ? `[${address}]` : address;
  return `http://${host}:${String(port)}`;
}

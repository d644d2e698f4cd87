import { readFileSync } from 'node:fs';
import type { RequestOptions } from 'node:https';
import { KubeConfig } from '@kubernetes/client-node';

const NAMESPACE_FILE = '/var/run/secrets/kubernetes.io/serviceaccount/namespace';

/** Where the API server is and how to show who we are. */
export interface KubeConnection {
  readonly server: string;
  /** Of the pod, else of the kubeconfig's context. */
  readonly namespace: string;
  readonly tls: {
    readonly ca?: string | Buffer;
    readonly cert?: string | Buffer;
    readonly key?: string | Buffer;
    readonly servername?: string;
    readonly rejectUnauthorized?: boolean;
  };
  /** Asked for each request: a service account's token is replaced while we run. */
  readonly authorization: () => Promise<Readonly<Record<string, string>>>;
}

/**
 * In a cluster the pod's service account; elsewhere `kubeconfig`, or kubectl's default file.
 *
 * @throws Error when neither is there.
 */
export async function connectToCluster(kubeconfig: string | undefined): Promise<KubeConnection> {
  const podNamespace = kubeconfig === undefined ? readNamespace() : undefined;
  const config = load(kubeconfig, podNamespace !== undefined);
  const cluster = config.getCurrentCluster();
  if (cluster === null) throw new Error('the kubeconfig names no cluster');
  const context = config.getContextObject(config.getCurrentContext());
  const options: RequestOptions = {};
  await config.applyToHTTPSOptions(options);
  return {
    server: cluster.server,
    namespace: podNamespace ?? context?.namespace ?? 'default',
    tls: tlsOf(options),
    authorization: async () => {
      const fresh: RequestOptions = {};
      await config.applyToHTTPSOptions(fresh);
      return Object.fromEntries(
        Object.entries(fresh.headers ?? {}).map(([name, value]) => [name, String(value)]),
      );
    },
  };
}

function load(kubeconfig: string | undefined, isPod: boolean): KubeConfig {
  const config = new KubeConfig();
  if (isPod) config.loadFromCluster();
  else if (kubeconfig === undefined) config.loadFromDefault();
  else config.loadFromFile(kubeconfig);
  return config;
}

function tlsOf(options: RequestOptions): KubeConnection['tls'] {
  const { ca, cert, key, servername, rejectUnauthorized } = options;
  const given = { ca, cert, key, servername, rejectUnauthorized };
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
}

function readNamespace(): string | undefined {
  try {
    return readFileSync(NAMESPACE_FILE, 'utf8').trim();
  } catch {
    return undefined;
  }
}

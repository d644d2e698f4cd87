import type { ApiClient } from './api.client.ts';
import { ENDPOINT_SLICES, type EndpointSlice } from './objects.ts';

/**
 * Addresses of a Service's ready endpoints, each once, as they stand in a URL. Asking the Service's
 * own address would ask one of them, whichever.
 */
export async function readyAddresses(
  api: ApiClient,
  namespace: string,
  service: string,
): Promise<string[]> {
  const { items } = await api.list<EndpointSlice>(ENDPOINT_SLICES, {
    namespace,
    labelSelector: `kubernetes.io/service-name=${service}`,
  });
  // A slice of a Service without pods has null, not an empty list.
  const addresses = items.flatMap(({ addressType, endpoints }) =>
    (endpoints ?? [])
      .filter(({ conditions }) => conditions?.ready !== false && conditions?.terminating !== true)
      .flatMap((endpoint) => endpoint.addresses.slice(0, 1))
      .map((address) => (addressType === 'IPv6' ? `[${address}]` : address)),
  );
  return [...new Set(addresses)].sort();
}

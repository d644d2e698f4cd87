/**
 * The kubeconfig of a cluster that tests may change: they replace our resource definition there and
 * make and remove namespaces. It has a variable of its own, because the usual `KUBECONFIG` of whoever
 * types `make test` may lead to a cluster that others live on.
 */
export function testKubeconfig(): string | undefined {
  const path = process.env.TEST_KUBECONFIG;
  return path === '' ? undefined : path;
}

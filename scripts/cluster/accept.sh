#!/bin/sh
# Shows every value set of the chart, and every overlay of kustomize, to a real API server: in a
# namespace that enforces Pod Security `restricted`, without creating anything but that namespace.
#
#   accept.sh            needs KUBECONFIG, kubectl, helm and kustomize
set -eu

cd "$(dirname "$0")/../.."
namespace=${NAMESPACE:-arrakis-accept}
chart=charts/platform
work=$(mktemp -d)
trap 'rm -rf "$work"; kubectl delete namespace "$namespace" --wait=false >/dev/null 2>&1 || true' EXIT

kubectl create namespace "$namespace" --dry-run=client -o yaml | kubectl apply -f - >/dev/null
for mode in enforce warn; do
  kubectl label namespace "$namespace" --overwrite "pod-security.kubernetes.io/$mode=restricted" >/dev/null
done
# The values' own kinds have to be known before an object of theirs can be judged.
kubectl get customresourcedefinition signingkeys.keys.arrakis.community >/dev/null 2>&1 ||
  kubectl apply --server-side -f $chart/charts/crds/crds/signingkeys.yaml >/dev/null

# accept NAME < objects
accept() {
  sed "s/^\( *namespace: \)\(arrakis\|arrakis-staging\)$/\1$namespace/" >"$work/objects.yaml"
  kubectl apply --dry-run=server -n "$namespace" -f "$work/objects.yaml" >"$work/out" 2>"$work/err" || true
  if [ -s "$work/err" ]; then
    sed "s/^/  /" "$work/err"
    echo "$1: refused or warned about" >&2
    exit 1
  fi
  echo "$1: $(wc -l <"$work/out") objects accepted"
}

render() {
  helm template arrakis $chart -n "$namespace" --kube-version 1.34.0 "$@" 2>/dev/null
}

render -f $chart/ci/kind-values.yaml | accept kind
render -f $chart/ci/kind-values.yaml -f $chart/ci/ha-values.yaml | accept ha
render -f $chart/ci/production-values.yaml | accept production
for overlay in staging production; do
  # A CustomResourceDefinition that somebody applied in another way only makes kubectl warn.
  kustomize build kustomize/overlays/$overlay |
    awk 'BEGIN { RS = "---\n"; ORS = "---\n" } !/kind: CustomResourceDefinition/' |
    accept "kustomize/$overlay"
done

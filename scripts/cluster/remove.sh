#!/bin/sh
# Removes the release and everything that an uninstall leaves on purpose, namespace included: see
# docs/operations.md. All data is gone afterwards.
#
#   remove.sh NAMESPACE
#
# Volumes that nobody provisions (host paths with the policy Retain) are emptied and given back, so
# that the next test finds them free; others are left to their provisioner.
set -eu

namespace=${1:?which namespace}
kubectl -n "$namespace" scale deployment arrakis-freeside-api --replicas=0 >/dev/null 2>&1 || true
if ! kubectl -n "$namespace" delete signingkey --all --timeout=60s >/dev/null 2>&1; then
  for key in $(kubectl -n "$namespace" get signingkeys -o name 2>/dev/null); do
    kubectl -n "$namespace" patch "$key" --type merge -p '{"metadata":{"finalizers":[]}}' >/dev/null
  done
fi
helm -n "$namespace" uninstall arrakis >/dev/null 2>&1 || true
kubectl delete namespace "$namespace" --timeout=300s >/dev/null

volumes=$(kubectl get persistentvolumes -o "jsonpath={range .items[?(@.spec.claimRef.namespace=='$namespace')]}{.metadata.name}={.spec.hostPath.path}{'\n'}{end}")
for volume in $volumes; do
  name=${volume%%=*} path=${volume#*=}
  [ -n "$path" ] && [ -d "$path" ] || continue
  find "$path" -mindepth 1 -delete
  kubectl patch persistentvolume "$name" --type json -p '[{"op":"remove","path":"/spec/claimRef"}]' >/dev/null
done
echo "$namespace is gone"

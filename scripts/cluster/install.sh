#!/bin/sh
# Installs the chart into a namespace that enforces Pod Security `restricted`, waits until everything
# is Ready, and says how long that took.
#
#   install.sh NAMESPACE [helm's arguments]      values: ci/kind-values.yaml, then what is given
set -eu

cd "$(dirname "$0")/../.."
namespace=${1:?which namespace}
shift
kubectl create namespace "$namespace" --dry-run=client -o yaml | kubectl apply -f - >/dev/null
kubectl label namespace "$namespace" --overwrite pod-security.kubernetes.io/enforce=restricted >/dev/null
began=$(date +%s)
helm upgrade --install arrakis charts/platform -n "$namespace" \
  -f charts/platform/ci/kind-values.yaml "$@" --wait --wait-for-jobs --timeout "${TIMEOUT:-5m}" >/dev/null
echo "all Ready after $(($(date +%s) - began)) s"
kubectl -n "$namespace" get pods

#!/bin/sh
# Builds the platform's image and makes it known to the cluster.
#
#   image.sh [TAG]       (dev unless said)
#
# EXTRA_CA_CERT, NPM_REGISTRY   as the Dockerfile has them; DOCKER_HOST as docker has it
# IMAGE_LOAD                    the command that hands an image to the cluster, such as
#                               `kind load docker-image`; without one the cluster pulls
set -eu

cd "$(dirname "$0")/../.."
image=arrakis/platform:${1:-dev}
# The classic builder: the Dockerfile needs nothing of BuildKit, and not every engine has it.
DOCKER_BUILDKIT=0 docker build --quiet --network host --tag "$image" \
  --build-arg VERSION="${1:-dev}" \
  --build-arg NPM_REGISTRY="${NPM_REGISTRY:-}" \
  --build-arg EXTRA_CA_CERT="${EXTRA_CA_CERT:-}" .
if [ -n "${IMAGE_LOAD:-}" ]; then
  # A command and its arguments.
  # shellcheck disable=SC2086
  $IMAGE_LOAD "$image"
fi
echo "$image"

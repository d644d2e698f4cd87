#!/bin/sh
# Fails when `make generate` changes anything: what is generated must be fresh when it is committed.
# Compares before with after, so that work in progress elsewhere in the tree doesn't count.
set -eu

snapshot() {
  git status --porcelain --untracked-files=all
  git diff
}

if ! git rev-parse --is-inside-work-tree >/dev/null 2>&1; then
  npm run --silent generate
  exit 0
fi

before=$(snapshot | cksum)
npm run --silent generate
if [ "$before" != "$(snapshot | cksum)" ]; then
  git status --short >&2
  echo 'Generated files were out of date. They are fresh now: look at them and commit.' >&2
  exit 1
fi

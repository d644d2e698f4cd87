#!/bin/sh
# Installs the npm packages when they are missing or the lockfile changed, and says so. Runs before
# there is any Node of ours, hence plain sh.
set -eu

stamp=node_modules/.arrakis-lock
log=.arrakis/logs/npm-ci.log

say() { printf '%s\n' "$*" >&2; }

explain_node() {
  say "This needs Node.js 20 or newer and npm$1."
  case $(uname -s) in
    Darwin) say 'Install them with:  brew install node' ;;
    *)
      if [ -r /etc/debian_version ]; then
        say 'Install them with:  sudo apt-get install -y nodejs npm'
        say '(Debian 12 ships Node 18, which is too old: use Debian 13, nvm, or the NodeSource packages.)'
      else
        say 'Install them from your distribution or with nvm, then run make again.'
      fi
      ;;
  esac
  exit 1
}

is_installed() {
  [ -x node_modules/.bin/node ] && node_modules/.bin/node -e '' 2>/dev/null || return 1
  # npm writes the hidden lockfile last: without it an install was cut short.
  [ -f node_modules/.package-lock.json ] || return 1
  if [ -f "$stamp" ]; then
    cmp -s package-lock.json "$stamp"
  else
    [ -z "$(find package-lock.json -newer node_modules/.package-lock.json)" ]
  fi
}

is_installed && exit 0

command -v node >/dev/null 2>&1 || explain_node '; node is not on PATH'
major=$(node -p 'process.versions.node.split(".")[0]' 2>/dev/null || echo 0)
[ "$major" -ge 20 ] || explain_node "; this is Node $(node -v 2>/dev/null || echo '(broken)')"
command -v npm >/dev/null 2>&1 || explain_node '; npm is not on PATH'

mkdir -p "$(dirname "$log")" 2>/dev/null || {
  say "Can't write to $(pwd). Run make as the user who owns this folder."
  exit 1
}

npm ci --loglevel=error --no-audit --no-fund >"$log" 2>&1 &
npm=$!
interrupted() {
  kill "$npm" 2>/dev/null || :
  wait "$npm" 2>/dev/null || :
  say
  say 'Interrupted. Run make again: it installs from the start.'
  exit 130
}
trap interrupted INT TERM

seconds=0
while kill -0 "$npm" 2>/dev/null; do
  if [ -t 2 ]; then
    printf '\r[ .. ] npm packages   installing, %ss (about a minute the first time)' "$seconds" >&2
  elif [ $((seconds % 15)) -eq 0 ]; then
    say "[ .. ] npm packages   installing, ${seconds}s (about a minute the first time)"
  fi
  sleep 1
  seconds=$((seconds + 1))
done
[ ! -t 2 ] || printf '\r\033[K' >&2

if ! wait "$npm"; then
  say 'npm ci failed. The end of its output:'
  tail -n 15 "$log" | sed 's/^/    /' >&2
  case $(cat "$log") in
    *ENOSPC*) say 'The disk is full: about 1 GB is needed here.' ;;
    *EACCES* | *EPERM*) say "Some files here belong to another user: ls -l node_modules, then chown or remove them." ;;
    *ENOTFOUND* | *ECONNREFUSED* | *ETIMEDOUT* | *EAI_AGAIN*) say 'The npm registry could not be reached: check the network or the proxy settings.' ;;
    *'package.json and package-lock.json'*) say 'package.json and package-lock.json disagree: npm install brings the lockfile up to date.' ;;
  esac
  say "The whole output is in $log; run make again afterwards."
  exit 1
fi

if [ ! -x node_modules/.bin/node ] || ! node_modules/.bin/node -e '' 2>/dev/null; then
  say 'npm installed the packages, but not Node 24 itself. Were install scripts switched off'
  say '(npm config get ignore-scripts)? Try:  npm rebuild node'
  exit 1
fi
cp package-lock.json "$stamp"
say "[ ok ] npm packages   $(node_modules/.bin/node -v), ${seconds}s"

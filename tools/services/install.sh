#!/usr/bin/env bash
# Installs the servers that the tests talk to, where that can be done: Debian's mosquitto, as root.
# What is missing afterwards makes its tests skip (fail in CI); this script itself never fails.
set -uo pipefail
unset MAKEFLAGS MFLAGS MAKEOVERRIDES
PATH="$PATH:/usr/sbin:/usr/local/sbin"

say() { printf '==> services: %s\n' "$*"; }
retry() { "$@" || { sleep 5; "$@"; } || { sleep 20; "$@"; }; }

if ! command -v mosquitto >/dev/null 2>&1; then
  if ! command -v apt-get >/dev/null 2>&1; then
    say 'no mosquitto, and no apt to install it with: install it yourself (package mosquitto)'
  elif [ "$(id -u)" != 0 ]; then
    say 'no mosquitto; installing it needs root: sudo apt-get install mosquitto'
  else
    say 'installing mosquitto'
    # A broker of the system's own, started at installation, is not wanted here: the tests start theirs.
    policy=/usr/sbin/policy-rc.d
    if [ ! -e "$policy" ]; then
      printf '#!/bin/sh\nexit 101\n' >"$policy" && chmod 755 "$policy" && trap 'rm -f "$policy"' EXIT
    fi
    { retry apt-get update -qq || say 'some of the package lists did not come'; } >&2
    DEBIAN_FRONTEND=noninteractive retry apt-get install -y -qq --no-install-recommends --no-upgrade mosquitto \
      >/dev/null || say 'mosquitto could not be installed: its tests are skipped, and fail in CI'
  fi
fi
exit 0

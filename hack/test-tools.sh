#!/usr/bin/env bash
# Installs what tests use beside Go and Python, where that is possible: as root on Debian and its kin. Elsewhere the tests
# that need it are skipped with a reason.
set -euo pipefail
command -v strace > /dev/null && exit 0
if [[ $(id -u) == 0 ]] && command -v apt-get > /dev/null; then
  apt-get update -qq && apt-get install -y -qq --no-install-recommends strace > /dev/null
else
  echo "strace is not installed: a test of the order of system calls is skipped" >&2
fi

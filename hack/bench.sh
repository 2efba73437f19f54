#!/usr/bin/env bash
# Measures the built binary in memory and, where it is another file system, on disk. Arguments go to test/bench.
set -euo pipefail
cd "$(dirname "$0")/.."
if [[ -d /dev/shm && -w /dev/shm ]]; then
  echo "In memory (/dev/shm):"
  go run ./test/bench -dir /dev/shm "$@"
  echo
fi
echo "On disk (${TMPDIR:-/tmp}):"
go run ./test/bench "$@"

#!/usr/bin/env bash
# Measures the built binary and prints figures next to their goals. Arguments go to test/bench, say -only 'Python' or -list.
set -euo pipefail
cd "$(dirname "$0")/.."
exec go run ./test/bench "$@"

#!/usr/bin/env bash
# Run the tests that need Slurm on two clusters at a time, as they mostly wait: all on one without an accounting database, and those
# that take less than half a minute on one with it and with a network for each node. Where no cluster can be brought up they are
# left out with the reason; with CI=true that is a failure.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
if ! "$here/able.sh"; then
	echo "the tests that need Slurm are left out; with CI=true that is a failure" >&2
	[[ ${CI:-} != true ]]
	exit
fi
said=$(mktemp) second=
end() {
	if [[ $second ]]; then kill "$second" && wait "$second" || true; fi 2>/dev/null
	rm -f "$said"
}
trap end EXIT
DBD=1 NODENET=1 SHORT=1 "$here/test.sh" >"$said" 2>&1 &
second=$!
code=0
echo "=== without an accounting database"
DBD=0 NODENET=0 "$here/test.sh" || code=1
wait "$second" || code=1
second=
echo "=== with an accounting database and a network for each node"
cat "$said"
exit "$code"

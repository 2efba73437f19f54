#!/usr/bin/env bash
# Run the tests that need Slurm: all without an accounting database, and those that take less than half a minute with one and with a
# network for each node, both at the same time, as they mostly wait. Where no cluster can be brought up they are left out
# with the reason; with CI=true that is a failure.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
if ! "$here/able.sh" "the tests that need Slurm are left out (with CI=true that is a failure)"; then
	[[ ${CI:-} != true ]]
	exit
fi
second=
end() {
	if [[ $second ]]; then
		kill "$second" 2>/dev/null && wait "$second" || true
	fi
}
trap end EXIT
DBD=1 NODENET=1 SHORT=1 "$here/test.sh" &
second=$!
code=0
DBD=0 NODENET=0 "$here/test.sh" || code=1
wait "$second" || code=1
second=
echo "the tests that need Slurm took $SECONDS s"
exit "$code"

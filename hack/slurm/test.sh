#!/usr/bin/env bash
# Run the tests that need Slurm, as user hpc in a cluster of their own that is taken down afterwards; needs root. They are the
# tests of all packages that import slurmbridge/slurmtest. SUITE, DBD, NODENET and CPUS are those of up.sh.
#   RACE=-race      how to build them     RUN=REGEXP      which to run; all     VERBOSE=1      name each
#   SHORT=1         without those that take more than half a minute
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cd "$here/../.."
"$here/able.sh"
export LAB=${TIGERFLOW_LAB:-/srv/tigerflow-slurm}/test-$$
end() {
	local code=$?
	if ((code)) && [[ -s $LAB/pid ]]; then
		echo "--- the cluster, after the failure ---" >&2
		timeout 20 "$here/enter.sh" squeue --array --states=all >&2 || true
		timeout 20 "$here/enter.sh" sinfo --long --Node >&2 || true
		tail -n 50 "$LAB/log/slurmctld.log" >&2 || true
	fi
	"$here/down.sh"
	rm -rf "$LAB"
}
trap end EXIT

"$here/up.sh"
"$here/images.sh"
work=$LAB/shared/work
install -d -o 2001 -g 2001 "$work" "$work/tmp" "$work/bin"
cp bin/tigerflow bin/slurmbridge "$work/bin/"
packages=$(go list -f '{{.ImportPath}} {{.TestImports}} {{.XTestImports}}' ./... | grep '/slurmbridge/slurmtest[] ]' | cut -d' ' -f1)
failed=()
for package in $packages; do
	dir=$work/${package##*/}
	install -d -o 2001 -g 2001 "$dir"
	go test ${RACE:-} -c -o "$dir/test" "$package"
	source=$(go list -f '{{.Dir}}' "$package")
	if [[ -d $source/testdata ]]; then
		cp -r "$source/testdata" "$dir/"
		chown -R 2001:2001 "$dir/testdata"
	fi
	echo "--- $package"
	(
		cd "$dir"
		export TIGERFLOW_BIN=$work/bin/tigerflow TIGERFLOW_SLURM_LAB=1 TIGERFLOW_SLURM_IMAGES=$LAB/shared/images
		"$here/enter.sh" -u hpc env TMPDIR="$work/tmp" ./test -test.timeout=30m ${SHORT:+-test.short} ${RUN:+-test.run="$RUN"} ${VERBOSE:+-test.v}
	) || failed+=("$package")
done
if ((${#failed[@]})); then
	echo "failed: ${failed[*]}" >&2
	exit 1
fi

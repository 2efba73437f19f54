#!/usr/bin/env bash
# Run the tests that need Slurm: those of all packages that import slurmbridge/slurmtest, as user hpc, each package at the same
# time in a cluster of its own, which is taken down afterwards. Needs root. SUITE, DBD, NODENET and CPUS are those of up.sh.
#   RACE=-race      how to build them     RUN=REGEXP      which to run; all     VERBOSE=1      name each
#   SHORT=1         without those that take more than half a minute
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cd "$here/../.."
"$here/able.sh"
root=${TIGERFLOW_LAB:-/srv/tigerflow-slurm}/test-$$
running=()
end() {
	kill "${running[@]}" 2>/dev/null || true
	wait
	rm -rf "$root"
}
trap end EXIT
mkdir -p "$root"

# down ends the cluster of this package.
down() {
	local code=$?
	if ((code)) && [[ -s $LAB/pid ]]; then
		echo "the cluster, after the failure:"
		timeout 20 "$here/enter.sh" squeue --array --states=all || true
		timeout 20 "$here/enter.sh" sinfo --long --Node || true
		tail -n 50 "$LAB/log/slurmctld.log" || true
	fi
	"$here/down.sh"
	rm -rf "$LAB"
	exit "$code"
}

# test_package FOLDER NAME N runs the tests of the package in a folder, built as NAME.test, in the cluster N.
test_package() {
	local source=$1 name=$2
	exec > >(sed -u "s|^|$name, DBD=${DBD:-0}: |") 2>&1
	export LAB=$root/$3 # short, as Unix sockets are made in it
	trap down EXIT
	"$here/up.sh"
	"$here/images.sh"
	local work=$LAB/shared
	install -d -o 2001 -g 2001 "$work/tmp" "$work/bin" "$work/test"
	cp bin/tigerflow bin/slurmbridge "$work/bin/"
	mv "$root/$name.test" "$work/test/test"
	if [[ -d $source/testdata ]]; then
		cp -r "$source/testdata" "$work/test/"
		chown -R 2001:2001 "$work/test/testdata"
	fi
	cd "$work/test"
	export TIGERFLOW_BIN=$work/bin/tigerflow TIGERFLOW_SLURM_LAB=1 TIGERFLOW_SLURM_IMAGES=$LAB/shared/images
	"$here/enter.sh" -u hpc env TMPDIR="$work/tmp" ./test -test.timeout=30m \
		${SHORT:+-test.short} ${RUN:+-test.run="$RUN"} ${VERBOSE:+-test.v}
}

failed=()
names=()
while read -r package source; do
	name=${source#"$PWD/"}
	name=${name//\//-}
	go test ${RACE:-} -c -o "$root/$name.test" "$package"
	test_package "$source" "$name" "${#names[@]}" &
	running+=($!)
	names+=("$name")
done < <(go list -f '{{.ImportPath}} {{.Dir}} {{.TestImports}} {{.XTestImports}}' ./... | grep '/slurmbridge/slurmtest[] ]' | cut -d' ' -f1,2)
for i in "${!running[@]}"; do
	wait "${running[i]}" || failed+=("${names[i]}")
done
running=()
if ((${#failed[@]})); then
	echo "failed: ${failed[*]}" >&2
	exit 1
fi

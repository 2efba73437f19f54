#!/usr/bin/env bash
# Measure Slurm Tasks, as user hpc in a cluster of their own that is taken down afterwards; needs root. Prints figures next to
# their goals. Arguments go to test/bench, say -only 'tiny' or -list. SUITE, DBD, NODENET and CPUS are those of up.sh.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cd "$here/../.."
if ((EUID)); then
	echo "make bench-slurm makes namespaces and mounts: run it as root" >&2
	exit 1
fi
export LAB=${TIGERFLOW_LAB:-/srv/tigerflow-slurm}/bench-$$
end() {
	cd /
	"$here/down.sh"
	umount "$LAB/shared" 2>/dev/null || true
	rm -rf "$LAB"
}
trap end EXIT

# In memory: it is not the disk that is measured.
mkdir -p "$LAB/shared"
mount -t tmpfs -o mode=1777,noatime,nr_inodes=0 tmpfs "$LAB/shared"
"$here/up.sh"
work=$LAB/shared/work
install -d -o 2001 -g 2001 "$work" "$work/bin" "$work/tmp"
go build -trimpath -o "$work/bin/" ./test/bench
cp bin/tigerflow bin/slurmbridge "$work/bin/"
cd "$work"
"$here/enter.sh" -u hpc env TMPDIR="$work/tmp" bin/bench -slurm -dir "$work/tmp" "$@"

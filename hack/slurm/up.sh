#!/usr/bin/env bash
# Bring up a Slurm cluster of four nodes on this machine, in namespaces of its own; needs root. down.sh ends it.
#   LAB=DIR     its folder, which tells it from others     SUITE=sid|trixie|bookworm     its Slurm, see rootfs.sh
#   DBD=1       with an accounting database, whose user hpc has the account lab and the default QOS
#   NODENET=1   each node has a network namespace and an address of its own
#   CPUS=8      how many CPUs each node claims to have
# LAB/shared is the shared file system: the same path inside and outside. All else inside is gone with the cluster.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
export LAB=${LAB:-${TIGERFLOW_LAB:-/srv/tigerflow-slurm}} DBD=${DBD:-0} NODENET=${NODENET:-0} CPUS=${CPUS:-8} HERE=$here
ROOTFS=$("$here/rootfs.sh")
export ROOTFS

mkdir -p "$LAB/shared" "$LAB/log" "$LAB/root"
chmod 1777 "$LAB/shared"
exec 9>"$LAB/lock"
flock 9
if "$here/enter.sh" test -e /run/slurm/ready 2>/dev/null; then
	echo "a cluster is up in $LAB already" >&2
	exit
fi
rm -rf "$LAB"/log/*

# The lock is not the cluster's: it would hold it for ever. And its jobs do not ignore what nohup does.
setsid env --default-signal=HUP unshare --net --mount --pid --uts --ipc --fork --kill-child "$here/inner.sh" >"$LAB/log/init.log" 2>&1 </dev/null 9>&- &
unshare=$!
for _ in $(seq 600); do
	init=$(cat "/proc/$unshare/task/$unshare/children" 2>/dev/null || true)
	if ! kill -0 "$unshare" 2>/dev/null; then
		break
	fi
	if [[ -n $init ]]; then
		echo "${init%% *}" >"$LAB/pid"
		if "$here/enter.sh" test -e /run/slurm/ready 2>/dev/null; then
			cat "$LAB/log/init.log" >&2
			exit
		fi
	fi
	sleep 0.1
done
cat "$LAB/log/init.log" >&2
echo "the cluster in $LAB did not come up; see $LAB/log" >&2
kill -9 "$unshare" 2>/dev/null || true
exit 1

#!/usr/bin/env bash
# Bring up a Kubernetes cluster of one node on this machine, in namespaces of its own; needs root. down.sh ends it.
#   LAB=DIR     its folder, which tells it from others
# LAB/admin.kubeconfig is the administrator's; LAB/shared is a folder for volumes, the same path in the node and outside, as is the
# whole file system of this machine. All else of the cluster is in memory and gone with it. Pods reach this machine only.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
export HERE=$here LAB=${LAB:-${TIGERFLOW_K8S:-/srv/tigerflow-k8s}} NODE=node0
BIN=$("$here/build.sh")
export BIN

mkdir -p "$LAB/shared" "$LAB/log"
chmod 1777 "$LAB/shared"
exec 9>"$LAB/lock"
flock 9
if "$here/enter.sh" true 2>/dev/null; then
	echo "a cluster is up in $LAB already" >&2
	exit
fi
"$here/down.sh"
rm -rf "$LAB"/log/*
# The programs' folder may be cleaned from the cache while the cluster is up.
ln -sfn "$BIN" "$LAB/bin"

# Each cluster has a number, which is that of its network between this machine and the node. The link is the lock.
for ((N = 1; N < 250; N++)); do
	if ip link add "tfk8s$N" type veth peer name "tfk8s${N}n" 2>/dev/null; then break; fi
done
export N HOST_IP=10.66.$N.1 NODE_IP=10.66.$N.2 SERVICE_IP=10.96.0.1
ip addr add "$HOST_IP/30" dev "tfk8s$N"
ip link set "tfk8s$N" up
echo "tfk8s$N" >"$LAB/link"

# The node's cgroups: a child of this shell's own in each hierarchy.
: >"$LAB/cgroups"
while IFS=: read -r _ controllers path; do
	case $controllers in
	'') root=/sys/fs/cgroup/unified ;;
	*) root=/sys/fs/cgroup/${controllers#name=} ;;
	esac
	[[ -d $root ]] || continue
	group=$root${path%/}/tfk8s$N
	mkdir -p "$group"
	if [[ $controllers == cpuset ]]; then
		for file in cpuset.cpus cpuset.mems; do cat "$root${path%/}/$file" >"$group/$file"; done
	fi
	echo "$group" >>"$LAB/cgroups"
done </proc/self/cgroup

rm -rf "$LAB/pki"
"$BIN/pki" "$LAB/pki" "$NODE" "$NODE_IP" "$SERVICE_IP"
(
	while read -r group; do echo "$BASHPID" >"$group/cgroup.procs"; done <"$LAB/cgroups"
	# The lock is not the cluster's: it would hold it for ever. And its processes do not ignore what nohup does.
	exec setsid env --default-signal=HUP unshare --net --mount --pid --cgroup --uts --ipc --fork --kill-child "$here/node.sh"
) >"$LAB/log/node.log" 2>&1 </dev/null 9>&- &
unshare=$!
failed() {
	tail --lines=3 "$LAB"/log/*.log >&2
	echo "the cluster in $LAB did not come up: $*; see $LAB/log" >&2
	"$here/down.sh"
	exit 1
}
until_() {
	local what=$1
	shift
	for ((end = SECONDS + 120; SECONDS < end; )); do
		if "$@" >/dev/null 2>&1; then return; fi
		kill -0 "$unshare" 2>/dev/null || failed "its first process ended"
		sleep 0.2
	done
	failed "waited in vain for $what"
}
init() {
	local pid
	pid=$(cat "/proc/$unshare/task/$unshare/children") && pid=${pid%% *} && [[ $pid ]] && echo "$pid" >"$LAB/pid"
}
until_ "its first process" init
# The node waits for its end of the link.
until_ "its network namespace" ip link set "tfk8s${N}n" netns "$(cat "$LAB/pid")" name eth0
export KUBECONFIG=$LAB/pki/admin.kubeconfig
until_ "the API server" "$BIN/kubectl" get --raw /readyz
until_ "the node" bash -c '[[ $("$BIN/kubectl" get node "$NODE" -o jsonpath="{.status.conditions[?(@.type==\"Ready\")].status}") == True ]]'
until_ "the ServiceAccount default" "$BIN/kubectl" -n default get serviceaccount default
ln -sf pki/admin.kubeconfig "$LAB/admin.kubeconfig"

#!/usr/bin/env bash
# The first process of the node, in new namespaces but in the machine's file system: gives it mounts, a network and names of its
# own, then starts the components.
set -euo pipefail
mount --make-rprivate /
mount -t proc proc /proc
mount -t tmpfs -o mode=755 tmpfs /sys/fs/cgroup
while IFS=: read -r _ controllers _; do
	case $controllers in
	'') name=unified type=cgroup2 options= ;;
	name=*) name=${controllers#name=} type=cgroup options=none,$controllers ;;
	*) name=$controllers type=cgroup options=$controllers ;;
	esac
	mkdir -p "/sys/fs/cgroup/$name"
	mount -t "$type" ${options:+-o "$options"} cgroup "/sys/fs/cgroup/$name"
done </proc/self/cgroup
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/{netns,lock,containerd,node}
state=/run/node
# What has a fixed place, and what would otherwise be the machine's.
mkdir -p "$state"/{log,kubelet,cni} /var/lib/kubelet /var/lib/cni
mount --bind "$state/log" /var/log
mount --bind "$state/kubelet" /var/lib/kubelet
mount --bind "$state/cni" /var/lib/cni
printf '127.0.0.1 localhost\n%s %s\n' "$NODE_IP" "$NODE" >"$state/hosts"
mount --bind "$state/hosts" /etc/hosts
: >"$state/resolv.conf"
mount --bind "$state/resolv.conf" "$(readlink -f /etc/resolv.conf)"
# The kubelet sets these for the whole machine. Here it finds them as it wants them, and the machine's stay.
tunable() {
	mkdir -p "$state/sysctl"
	echo "$2" >"$state/sysctl/${1//\//.}"
	mount --bind "$state/sysctl/${1//\//.}" "/proc/sys/$1"
}
tunable vm/overcommit_memory 1
tunable vm/panic_on_oom 0
tunable kernel/panic 10
tunable kernel/panic_on_oops 1
tunable kernel/keys/root_maxkeys 1000000
tunable kernel/keys/root_maxbytes 25000000
# Each worker asks for a CPU at least, and several are to run on a small machine: the node claims to have 16 CPUs or more, by counting
# each of this machine's in several NUMA nodes.
if [[ -d /sys/devices/system/node/node0 ]] && (($(nproc) < 16)); then
	for ((node = 0; node * $(nproc) < 16; node++)); do
		mkdir -p "$state/nodes/node$node"
		ln -s /sys/devices/system/cpu/cpu[0-9]* "$state/nodes/node$node/"
	done
	mount --bind "$state/nodes" /sys/devices/system/node
fi
mount --make-rshared /
hostname "$NODE"

ip link set lo up
for ((i = 0; i < 100; i++)); do
	if ip link show eth0 >/dev/null 2>&1; then break; fi
	sleep 0.1
done
ip addr add "$NODE_IP/30" dev eth0
ip link set eth0 up
# Services need a route for the look-up that comes before kube-proxy's translation. There is no default route: nothing in here is
# to reach further than this machine.
ip route add 10.96.0.0/16 dev eth0 src "$NODE_IP"
sysctl -qw net.ipv4.ip_forward=1
if [[ -e /proc/sys/net/bridge/bridge-nf-call-iptables ]]; then
	sysctl -qw net.bridge.bridge-nf-call-iptables=1
fi

export PATH=$BIN:$PATH
cp -r "$HERE/conf" "$state/conf"
find "$state/conf" -type f -exec sed -i "s|@BIN@|$BIN|g; s|@PKI@|$LAB/pki|g" {} +
export KUBECONFIG=$LAB/pki/admin.kubeconfig
until_() { until "$@" >/dev/null 2>&1; do sleep 0.1; done; }
start() { "$HERE/component.sh" start "$1"; }
start etcd
start containerd
start kube-apiserver
until_ ctr version
ctr -n k8s.io images import "$BIN/pause.tar"
# Not earlier: the controller manager ends when the first roles are not there yet.
until_ kubectl get --raw /readyz
for name in kube-controller-manager kube-scheduler kubelet kube-proxy; do start "$name"; done
# Only reap what the components and containers leave.
while :; do
	sleep 3600 &
	wait $!
done

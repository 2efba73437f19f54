#!/usr/bin/env bash
# Fail with the reason if no cluster can be brought up here: that takes root, namespaces, cgroups (version 1) that may be added
# to, overlayfs, a bridge, iptables, and a C compiler for runc. On Debian and its kin the programs are installed if they are missing.
set -euo pipefail
no() {
	echo "no Kubernetes cluster can be brought up for tests: $*" >&2
	exit 1
}
((EUID == 0)) || no "this is not root"
missing=()
need() { command -v "$1" >/dev/null || missing+=("$2"); }
need ip iproute2
need iptables iptables
need conntrack conntrack
need gcc gcc
need pkg-config pkg-config
need mmdebstrap mmdebstrap
pkg-config --exists libseccomp 2>/dev/null || missing+=(libseccomp-dev)
if ((${#missing[@]})); then
	command -v apt-get >/dev/null || no "install ${missing[*]}"
	install() { apt-get install -qq -y --no-install-recommends "${missing[@]}" >&2; }
	# The lists may be as old as the machine's image.
	install || { apt-get update -qq >&2 && install; } || no "apt-get does not install ${missing[*]}"
fi
[[ -d /sys/fs/cgroup/memory && -d /sys/fs/cgroup/cpu ]] || no "the kubelet of these scripts needs cgroups of version 1"
said=$(unshare --net --mount --pid --cgroup --uts --ipc --fork --kill-child bash -euc '
	mount --make-rprivate /
	mount -t tmpfs tmpfs /mnt
	mkdir /mnt/upper /mnt/work /mnt/merged
	mount -t overlay -o lowerdir=/etc,upperdir=/mnt/upper,workdir=/mnt/work overlay /mnt/merged
	mkdir /mnt/memory
	mount -t cgroup -o memory cgroup /mnt/memory
	rmdir "$(mktemp -d /mnt/memory/tigerflow.XXXXXX)"
	ip link add br0 type bridge
	iptables -t nat -L' 2>&1) || no "this system does not allow what it is made of: ${said//$'\n'/; }"

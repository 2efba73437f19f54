#!/usr/bin/env bash
# Fail with one line, of what is not done then and why, if no cluster can be brought up here: that takes root, namespaces, a
# bridge and an overlay, and mmdebstrap, which makes its file system. On Debian and its kin the programs are installed if they
# are missing.
set -euo pipefail
what=${1:-the tests that need Slurm are not run}
no() {
	echo "$what: no Slurm cluster can be brought up for them: $*" >&2
	exit 1
}
((EUID == 0)) || no "this is not root"
missing=()
command -v mmdebstrap >/dev/null || missing+=(mmdebstrap)
command -v ip >/dev/null || missing+=(iproute2)
if ((${#missing[@]})); then
	command -v apt-get >/dev/null || no "install ${missing[*]}"
	install() { apt-get install -qq -y --no-install-recommends "${missing[@]}" >&2; }
	# The lists may be as old as the machine's image.
	install || { apt-get update -qq >&2 && install; } || no "apt-get does not install ${missing[*]}"
fi
said=$(unshare --net --mount --pid --uts --ipc --fork --kill-child bash -euc '
	mount --make-rprivate /
	mount -t tmpfs tmpfs /mnt
	mkdir /mnt/upper /mnt/work /mnt/merged
	mount -t overlay -o lowerdir=/etc,upperdir=/mnt/upper,workdir=/mnt/work overlay /mnt/merged
	mknod /mnt/merged/null c 1 3
	ip link add br0 type bridge
	ip link add v0 type veth peer name v1' 2>&1) || no "this system does not allow what it is made of: ${said//$'\n'/; }"

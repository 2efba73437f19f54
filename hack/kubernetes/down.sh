#!/usr/bin/env bash
# End the cluster of LAB: the kernel ends all that runs in it together with its first process, and its networks with them.
# LAB/shared and LAB/log stay.
set -euo pipefail
lab=${LAB:-${TIGERFLOW_K8S:-/srv/tigerflow-k8s}}
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
if LAB=$lab "$here/enter.sh" true 2>/dev/null; then
	pid=$(cat "$lab/pid")
	kill -9 "$pid"
	while [[ -e /proc/$pid ]]; do sleep 0.05; done
fi
if [[ -s $lab/link ]]; then
	ip link del "$(cat "$lab/link")" 2>/dev/null || true # mostly gone with its other end
fi
if [[ -s $lab/cgroups ]]; then
	while read -r group; do
		# The kernel lets go of the last processes a little later.
		for ((i = 0; i < 50; i++)); do
			if [[ ! -d $group ]] || find "$group" -depth -type d -exec rmdir {} + 2>/dev/null; then break; fi
			sleep 0.1
		done
	done <"$lab/cgroups"
fi
rm -rf "$lab"/{pid,link,cgroups,pki,admin.kubeconfig,bin}

#!/usr/bin/env bash
# Run a command as root on the node of the cluster of LAB: enter.sh [COMMAND…]. Its programs are in the PATH, "component" among them.
set -euo pipefail
lab=${LAB:-${TIGERFLOW_K8S:-/srv/tigerflow-k8s}}
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
pid=$(cat "$lab/pid")
# The number may be another process's by now.
tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline" | grep -q '/node\.sh' || { echo "no cluster is up in $lab" >&2 && exit 1; }
(($#)) || set -- bash
exec nsenter --target "$pid" --net --mount --pid --cgroup --uts --ipc --wdns=/ -- \
	env LAB="$lab" KUBECONFIG="$lab/pki/admin.kubeconfig" PATH="$lab/bin:$here:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin" "$@"
